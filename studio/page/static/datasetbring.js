// Pictures, captions and ZIPs into a dataset: a few at a time, and what was left out is told by name.

import { Refused, api } from "./api.js";
import { plural } from "./dom.js";

const AT_ONCE = 3;
const TOLD = 50;
const LIMIT = 32 * 2 ** 20; // of a picture; the studio says no more of what is larger
const TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", webp: "image/webp", tif: "image/tiff", tiff: "image/tiff", bmp: "image/bmp", heic: "image/heic" };
const PIECE = 50; // captions in a request

const ending = (name) => name.split(".").at(-1).toLowerCase();

/** files: [path, File]. say(words): how far it is. {words, out: [{name, why}], count}. */
export async function bringAll(dataset, files, say) {
  const seen = files.filter(([path]) => !path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"));
  const pictures = seen.filter(([path, file]) => TYPES[ending(path)] || file.type.startsWith("image/"));
  const zips = seen.filter(([path]) => ending(path) === "zip");
  const words = seen.filter(([path]) => ["txt", "caption", "jsonl"].includes(ending(path)));
  const out = seen.filter((one) => !pictures.includes(one) && !zips.includes(one) && !words.includes(one)).map(([name]) => ({ name, why: "It is neither a picture nor a caption." }));
  let [added, captions, count] = [0, 0, out.length];
  const leave = (name, why) => {
    count += 1;
    if (out.length < TOLD) out.push({ name, why });
  };
  const attempt = async (name, act) => {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      leave(name, error.message);
    }
  };
  const waiting = [...pictures];
  let ended = 0;
  const bring = async () => {
    for (let one; (one = waiting.shift()); ) {
      const [path, file] = one;
      if (file.size > LIMIT) leave(path, `It is larger than ${LIMIT / 2 ** 20} MB.`);
      else await attempt(path, async () => {
        await api.bringPicture(dataset, file, path, TYPES[ending(path)] ?? file.type);
        added += 1;
      });
      ended += 1;
      say(`${ended} of ${plural(pictures.length, "picture")} ...`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, bring));
  for (const [path, file] of zips) {
    say(`Reading ${path} ...`);
    await attempt(path, async () => {
      const got = await api.bringZip(dataset, file);
      added += got.added;
      captions += got.captions;
      count += got.left_count;
      out.push(...got.left.slice(0, Math.max(0, TOLD - out.length)));
    });
  }
  const sidecars = await said(words);
  for (let at = 0; at < sidecars.length; at += PIECE) await attempt("captions", () => api.datasetDo(dataset, "captions", { sidecars: Object.fromEntries(sidecars.slice(at, at + PIECE)) }));
  captions += sidecars.length;
  const and = captions ? ` and ${plural(captions, "caption")}` : "";
  return { words: added || captions ? `${plural(added, "picture")}${and} came.` : "Nothing came.", out, count };
}

/** [name, caption] of the texts: of one file each, or of JSON lines with "file_name" and "text". */
async function said(files) {
  const found = [];
  for (const [path, file] of files) {
    const text = await file.text();
    if (ending(path) !== "jsonl") found.push([path, text.slice(0, 4000)]);
    else for (const line of text.split("\n")) {
      try {
        const { file_name: name, text: words, caption } = JSON.parse(line);
        if (name && (words ?? caption)) found.push([path.replace(/[^/]*$/, "") + name, String(words ?? caption).slice(0, 4000)]);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error; // a line that is none says nothing
      }
    }
  }
  return found;
}
