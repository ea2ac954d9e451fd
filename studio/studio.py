"""The studio as the page and the HTTP door use it: what can be asked of it, and what it tells as things happen."""
from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models.cards import Catalogue, Family, ModelCard
from models.errors import BadInput, NotFound
from models.weights import find_weights, weights_found
from pipelines.fields import text, whole
from pipelines.plan import Plan, plan_for
from pipelines.promote import from_files, promotion
from pipelines.request import DRAFT_LIMIT, PictureId, Request
from pipelines.tasks import Draft
from studio import files, lorafolder
from studio.about import about, words
from studio.answering import Questions
from studio.batches import Batches
from studio.brands import Brands
from studio.cache import Cache, take_again
from studio.captioning import CaptionerShelf
from studio.catalogues import Catalogues
from studio.cloud import Cloud
from studio.composing import Composer
from studio.datasets import Datasets
from studio.evaluations import Evaluations
from studio.events import Door, Hub
from studio.experimenting import Experimenter
from studio.funnel import Funnel
from studio.imports import Imports
from studio.languages import LanguageShelf
from studio.loraarrivals import Arrivals
from studio.loras import Loras
from studio.loratrash import Bin
from studio.loraviews import Rack
from studio.lorawatch import Watch
from studio.meaning import Meanings
from studio.profiles import Profiles
from studio.providers import Providers
from studio.queueing import Queue, take_placing, veiled
from studio.rescoring import Rescoring
from studio.retention import Housekeeper
from studio.safety import Safety, take_confirmed
from studio.scorershelf import ScorerShelf
from studio.sessions import Sessions
from studio.settings import Settings
from studio.shelf import Shelf
from studio.similar import Similar
from studio.store import Store, cloudtasks, images, jobs, views
from studio.store.jobs import AS_IT_COMES, Placing
from studio.store.people import LOCAL, Who
from studio.store.scores import Percentiles
from studio.store.views import Json
from studio.supervisor import Supervisor
from studio.telling import Teller
from studio.templates import Templates
from studio.trainings import Trainings
from studio.trials import Trials
from studio.wildcards import Wildcards

log = logging.getLogger(__name__)

Then = Callable[[sqlite3.Connection, int], None]


class Studio:
    """Everything behind the page. Handlers call it from any thread; `start` brings up the worker, `stop` ends it.

    data_dir: where all is kept. family: the one the page starts with, None for the best whose weights are here. engine: "local",
    or "scripted[:SECONDS]" in tests.
    Raises NotFound for an unknown family, Unavailable when the database cannot be opened.
    """

    def __init__(
        self,
        data_dir: Path,
        catalogue: Catalogue,
        family: str | None = "embedded",
        engine: str = "local",
        device: str | None = None,
        models_dir: Path | None = None,
        login: bool = False,
        lowvram: bool = False,
    ) -> None:
        self.data_dir, self.catalogue = data_dir, catalogue
        if family is not None:
            catalogue.family(family)
        self.store = Store(data_dir / "studio.db")
        self.hub = Hub()
        self.settings = Settings(self.store)
        self.providers = Providers(self.settings)
        self.profiles = Profiles(self.store)
        self.wildcards = Wildcards(data_dir)
        self.templates = Templates(self.store)
        self.brands = Brands(self.store)
        self.loras = Loras(self.store, data_dir, catalogue, lambda: self.shelf.where)
        lists = self.wildcards.lists
        self.composer = Composer(self.templates, catalogue, lists, lambda: self.shelf.where, self.brands.choose, self.loras)
        self.login = login  # whether people log in, or whoever is at this machine is LOCAL
        self.sessions = Sessions(self.store, self.settings, lambda ended: self.hub.end(lambda who: who.session in ended))
        self.queue = Queue(self.store, lambda: self._teller.words, lambda: self._teller.live())
        self.percentiles = Percentiles(self.store)
        self.imports = Imports(self.store, data_dir, catalogue, lambda who: self.loras.names(who))
        self.lora_rack, self.lora_bin, self.lora_arrivals = Rack(self.loras), Bin(self.loras), Arrivals(self.loras)
        self.lora_watch = Watch(self.store, self.settings, self.lora_arrivals, lambda: self.hub.publish("loras", {"changed": True}))
        self.meanings = Meanings(self.store, self._read_prompt)
        self.safety = Safety(self.store)
        self.similar = Similar(self.store, self.percentiles, self.meanings)
        in_use = partial(jobs.asked_for, self.store)
        self.shelf = Shelf(self.store, self.hub, self.settings, catalogue, data_dir, models_dir, in_use, device, lowvram)
        self.rescoring = Rescoring(self.store, self.wake_worker)
        self.scorers = ScorerShelf(self.store, self.hub, self.shelf, models_dir)
        self.captioners = CaptionerShelf(self.shelf, self.hub, models_dir)
        self.datasets = Datasets(self.store, self.hub, data_dir, catalogue, lambda: self.shelf.where, self.wake_worker)
        self.lora_rack.stale = self.datasets.stale
        self.languages = LanguageShelf(self.shelf, models_dir)
        self.questions = Questions(lambda message: self._door.send(message))
        self.family = family or self.shelf.best_family()
        self._cache = Cache(self.store, data_dir, catalogue, engine, lambda: self.shelf.where, lambda: self._teller.words)
        self._funnel = Funnel(self.store, data_dir, self.profiles, self._cache)
        self.scripted = engine != "local"
        self._teller = Teller(self)
        self._door = Door(self._teller.hear)
        self._supervisor = Supervisor(
            self.store, self._door, data_dir, self.family, device, models_dir, engine, lowvram=lowvram, on_state=self._teller.device_is,
            on_released=self.queue_changed,
        )
        self.cloud = Cloud(self, self._funnel, self._card_is_here)
        self._housekeeper = Housekeeper(self)
        self.catalogues, self.batches = Catalogues(self), Batches(self)
        self.experimenter = Experimenter(self)
        self.trainings = Trainings(self, device, lowvram, models_dir)
        self.evaluations, self.trials = Evaluations(self), Trials(self)
        self.loras.gate, self.loras.trial, self.trainings.made = self.evaluations.gate, self.trials.choose, self.evaluations.trained
        self._lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Starts the worker; returns at once."""
        now = time.time()
        files.sweep(self.data_dir, float(self.store.setting("swept") or 0))
        self.store.set("swept", str(now))
        self.imports.sweep()
        self.datasets.sweep()
        lorafolder.sweep(self.data_dir)
        self.lora_watch.start()
        self._housekeeper.start()
        self.experimenter.start()
        self.evaluations.evaluator.start()
        self.trainings.start()
        self._supervisor.start()
        self.cloud.start()
        self.batches.runner.start()

    def stop(self) -> None:
        """Ends every stream and the worker. What was under way waits in the queue for the next start. May be called twice."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        self.hub.close()
        self.shelf.close()
        self._housekeeper.stop()
        self.lora_watch.stop()
        self.batches.runner.stop()
        self.experimenter.stop()
        self.evaluations.evaluator.stop()
        self.trainings.stop()
        self._supervisor.stop()
        self.cloud.stop()
        self._door.close()
        self.store.close()

    @property
    def worker_pid(self) -> int | None:
        return self._supervisor.pid

    # What can be asked.

    def about(self, who: Who = LOCAL) -> Json:
        """What the page needs to draw itself; see GET /api/studio."""
        return about(self, who)

    def device(self) -> Json:
        """Its words, its state with a note, what is queued, and why the queue is paused."""
        return self._teller.device()

    def submit(self, data: object, who: Who = LOCAL, then: Then | None = None) -> Json:
        """Queues what a JSON value asks for; the job. Beside the Request's fields it takes those of `queueing.take_placing`,
        `again`: true draws what could be served from history, and `safety`: "confirmed" draws what safety asks about.

        then: called in the transaction that queues it, with its id. Raises BadInput, and Unavailable when the model's weights are not here.
        """
        placing, data = take_placing(data, who)
        again, data = take_again(data)
        confirmed, data = take_confirmed(data)
        return self._queue(self.read(data, who), who, placing, again, confirmed, then)

    def read(self, data: object, who: Who) -> Request:
        """The request of a JSON value, composed if it names a template or the like, as this studio has it for `who`. Raises BadInput."""
        data = self.composer.compose(data, who)
        names = self.loras.names(who)
        read = Request.from_dict(data, self.catalogue, profiles=self.profiles.names(), loras=names, here=self._card_is_here)
        return self.loras.dressed(read, who)

    def plan(self, request: Request, who: Who, again: bool = False) -> Plan:
        """How a request is drawn. Raises BadInput for pictures that are not there, Unavailable where its weights or licences are not."""
        plan = plan_for(
            request, self.catalogue, lambda image: self._start_picture(image, who, "image"),
            lambda lora: self.loras.file(lora.name, lora.version, who), again=again,
        )  # fmt: skip
        if plan.promotion == "same-noise" and self.cloud.away(plan, request):
            plan = from_files(plan, self.catalogue.card(plan.final.card))
        if request.likeness is not None:
            self._start_picture(request.likeness, who, "likeness")
        if request.parent is not None:
            self._ask_for("parent", request.parent, who)
        for card in plan.cards:
            if self.cloud.draws_instead(self.catalogue.card(card), plan, request, who):
                continue
            self.shelf.licences.require(self.catalogue.card(card))
            if not self.scripted:
                find_weights(self.catalogue.card(card), self.shelf.where)
        return plan

    def promote(self, image: int, tier: object, draft: object = 1, who: Who = LOCAL) -> Json:
        """Takes a picture to a higher tier; the job. Raises NotFound, BadInput."""
        row = images.image_row(self.store, image, who)
        data: dict[object, object] = {"tier": tier, "draft": draft}
        to_tier, count = text(data, "tier", 80), whole(data, "draft", 1, DRAFT_LIMIT, 1)
        asked = jobs.request_of(jobs.job_row(self.store, row["job_id"])) | {"ladder": False, "budget": None}
        if row["stage"] == "draft":  # as it was drawn, not as it would have been finished
            asked |= {"tier": row["tier"], "steps": row["steps"], "guidance": row["guidance"], "prompt": row["prompt"]}
        made = Request.from_dict(asked, self.catalogue, profiles=self.profiles.names(), loras=self.loras.names(who))
        elsewhere = self._noise_is_away(row, made, to_tier)
        return self._queue(promotion(made, image, row["seed"], to_tier, self.catalogue, count, elsewhere), who)

    def cancel(self, job: int, who: Who = LOCAL) -> Json:
        """Stops a job within one step; an admin anybody's. The job as they may see it. Raises NotFound, NotNow."""
        jobs.cancel_job(self.store, job, who)
        self._door.send({"cancel": job})
        self.queue_changed([job])
        row = jobs.job_row(self.store, job)
        return self.job(job, who) if who.sees(row["person"], row["shared"]) else veiled(self.job_view(row), row, who)

    def keep(self, image: int, choice: object, who: Who = LOCAL) -> Json:
        """A person's word on a picture: True keeps it, False rejects it, None leaves it to the verdict. Raises NotFound, NotNow."""
        if choice is not None and not isinstance(choice, bool):
            raise BadInput("keep", "keep must be true, false or null.")
        images.keep(self.store, image, choice, who)
        self.tell_image(image)
        return self._teller.image_view(images.image_row(self.store, image, who), who)

    def job(self, job: int, who: Who = LOCAL) -> Json:
        """A job with its pictures, in number order. Raises NotFound."""
        view = self.job_view(jobs.job_row(self.store, job, who))
        return view | {"images": views.image_views(self.store, images.of_job(self.store, job, who), self.percentiles, who)}

    def jobs(self, active: bool = False, who: Who = LOCAL) -> list[Json]:
        """Newest first, without their pictures."""
        return [self.job_view(row) for row in jobs.list_jobs(self.store, who, active)]

    def image(self, image: int, who: Who = LOCAL) -> Json:
        """A picture with the request it came from and its lineage. Raises NotFound."""
        row = images.image_row(self.store, image, who)
        return self._teller.image_view(row, who) | {
            "request": jobs.request_of(jobs.job_row(self.store, row["job_id"])),
            "lineage": views.lineage_view(images.lineage(self.store, image, who)),
        }

    def picture_file(self, image: int, who: Who = LOCAL) -> Path:
        """The original file. Raises NotFound."""
        return files.find_picture(self.data_dir, images.image_row(self.store, image, who)["path"])

    def thumb_file(self, image: int, who: Who = LOCAL) -> Path:
        """The thumbnail, made again if it is gone. Raises NotFound."""
        return files.find_thumb(self.data_dir, images.image_row(self.store, image, who)["path"])

    def words(self, data: Mapping[Any, Any]) -> Json:
        """How a model reads a prompt: tokens by encoder, words it does not know, and who would know them. Raises BadInput."""
        return words(self, data)

    def is_here(self, family: Family) -> bool:
        """Whether the weights of at least one tier are on this machine (a family is offered as soon as it can draw anything)."""
        return any(self._card_is_here(self.catalogue.card(tier.card)) for tier in family.tiers.values())

    # How it is done.

    def _queue(
        self,
        request: Request,
        who: Who,
        placing: Placing = AS_IT_COMES,
        again: bool = False,
        confirmed: bool = False,
        then: Then | None = None,
    ) -> Json:
        plan = self.plan(request, who, again)
        self.safety.check(request.prompt, request.texts, who, confirmed)

        away = self.cloud.away(plan, request)

        def begin(db: sqlite3.Connection, job: int, placed: Mapping[int, Draft]) -> None:
            if away:
                cloudtasks.keep_away(db, job, away)
            self.profiles.stamp(db, job, request.profile)
            self.templates.stamp(db, job, request)
            self._funnel.begin(db, job, placed)
            if then is not None:
                then(db, job)

        job = jobs.add_job(self.store, request, plan, who.name, placing, begin)
        for picture in (request.image, request.likeness):
            if isinstance(picture, str):
                self.imports.used(picture, who)
        self.queue_changed([job])
        return self.job(job, who)

    def _start_picture(self, image: PictureId, who: Who, field: str) -> Path:
        if isinstance(image, str):
            try:
                return self.imports.file(image, who)
            except NotFound as error:
                raise BadInput(field, error.what, error.why, error.todo) from error
        self._ask_for(field, image, who)
        return self.picture_file(image, who)

    def _ask_for(self, field: str, image: int, who: Who) -> None:
        try:
            images.image_row(self.store, image, who)
        except NotFound as error:
            raise BadInput(field, error.what, error.why, "Choose one from the history.") from error

    def _noise_is_away(self, row: sqlite3.Row, request: Request, tier: str) -> bool:
        """Whether a picture, taken to `tier`, cannot be drawn by its seed: a provider drew it, or is the one who would."""
        family = self.catalogue.family(request.family)
        away = request.where != "local" and tier in family.tiers and not self.cloud.is_here(self.catalogue.card(family.tiers[tier].card))
        return bool(row["place"]) or away

    def _card_is_here(self, card: ModelCard) -> bool:
        return self.scripted or weights_found(card, self.shelf.where) is not None

    # What is told.

    def queue_changed(self, ids: Sequence[int] = ()) -> None:
        """To be called after a change of the queue: the worker looks again, and browsers hear of it and of the jobs `ids`."""
        self.queue.changed()
        self._door.send({"wake": True})
        self.cloud.wake()
        self.experimenter.wake()
        self.evaluations.evaluator.wake()
        self.trainings.trainer.wake()
        self._teller.tell_jobs(ids)

    def wake_worker(self) -> None:
        """The worker looks what there is to do, and whether a training wants the device."""
        self._door.send({"wake": True})

    def tell_image(self, image: int) -> None:
        """Tells everybody who may see a picture."""
        self._teller.tell_image(image)

    def job_view(self, row: Any) -> Json:
        """A row of jobs as browsers see it, with where it stands and how long it will take."""
        return self._teller.job_view(row)

    def _read_prompt(self, prompt: str) -> bool:
        """Asks the worker for a prompt's vector; False when it cannot answer at once."""
        if not self.scripted:
            self._door.send({"read": prompt})
        return not self.scripted and self._teller.state == "ready"
