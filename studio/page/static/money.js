// Money on the page: whole micro-dollars in the data ($1 = 1,000,000), dollars for people. No amount is ever a fraction here.

const MICRO = 1_000_000;

/** 3000 -> "$0.003", 2812 -> "$0.00281", 1234567 -> "$1.23": as many digits as say something of an amount. */
export function dollars(micro) {
  if (micro === null || micro === undefined) return "–";
  const much = Math.abs(micro) / MICRO;
  const sign = micro < 0 ? "−" : "";
  if (much >= 1 || much === 0) return `${sign}$${grouped(much.toFixed(2)).replace(/^0\.00$/, "0")}`;
  return `${sign}$${padded(Number(much.toPrecision(3)).toFixed(6))}`;
}

/** Every micro-dollar of an amount: "$0.003", "$1.234567". */
export function exact(micro) {
  if (micro === null || micro === undefined) return "–";
  const whole = Math.floor(Math.abs(micro) / MICRO), part = String(Math.abs(micro) % MICRO).padStart(6, "0");
  return `${micro < 0 ? "−" : ""}$${padded(`${grouped(String(whole))}.${part}`)}`;
}

/** "5", "$5.00", "0,5" as micro-dollars; null for nothing, undefined for what is no amount. */
export function readDollars(text) {
  const said = text.trim().replace(/^\$\s*/, "").replace(",", ".");
  if (!said) return null;
  const found = /^(\d{1,7})?(?:\.(\d{0,6}))?$/.exec(said);
  if (!found || (!found[1] && !found[2])) return undefined;
  return Number(found[1] ?? 0) * MICRO + Number((found[2] ?? "").padEnd(6, "0"));
}

/** An amount as a field has it: "5", "0.003"; "" for none. */
export const plainDollars = (micro) => (micro === null || micro === undefined ? "" : exact(micro).replace("$", "").replaceAll(",", "").replace(/\.00$/, ""));

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
/** At least two digits of cents, and no noughts after them. */
const padded = (digits) => digits.replace(/(\.\d\d\d*?)0+$/, "$1");
