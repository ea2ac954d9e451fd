// The page's entry: defines its elements and starts listening.

import { CsFacts, CsStatus } from "./status.js";
import { CsForm } from "./form.js";
import { startDrops } from "./drop.js";
import { CsHistory } from "./history.js";
import { CsComments } from "./comments.js";
import { CsInsights } from "./insights.js";
import { CsModels } from "./models.js";
import { CsMotion, startMotion } from "./motion.js";
import { CsAccount } from "./account.js";
import { CsQuality } from "./quality.js";
import { CsReview } from "./review.js";
import { CsSafety } from "./safety.js";
import { CsScorers } from "./scorers.js";
import { CsSettings } from "./settings.js";
import { CsSheet } from "./sheet.js";
import { studio } from "./studio.js";
import "./help.js";

startMotion();
startDrops();
document.documentElement.dataset.csTab = "tier";
customElements.define("cs-motion", CsMotion);
customElements.define("cs-status", CsStatus);
customElements.define("cs-facts", CsFacts);
customElements.define("cs-form", CsForm);
customElements.define("cs-sheet", CsSheet);
customElements.define("cs-history", CsHistory);
customElements.define("cs-comments", CsComments);
customElements.define("cs-insights", CsInsights);
customElements.define("cs-models", CsModels);
customElements.define("cs-quality", CsQuality);
customElements.define("cs-scorers", CsScorers);
customElements.define("cs-safety", CsSafety);
customElements.define("cs-review", CsReview);
customElements.define("cs-settings", CsSettings);
customElements.define("cs-account", CsAccount);
studio.start();
