/**
 * Characters that end a line, move the cursor, change the direction of text, are invisible or stand for nothing, for a
 * pattern with the flag u: controls, formats, halves of characters, private ones, separators of lines.
 */
export const INVISIBLE = "\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Zl}\\p{Zp}\\p{DI}";

const EACH_INVISIBLE = new RegExp(`[${INVISIBLE}]`, "gu");

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Text from another program or file on one line, with only visible characters. Others are written as in JSON, `\u001b`. */
export function printable(text: string): string {
  return text.replace(EACH_INVISIBLE, (each) => SHORT[each] ?? each.split("").map(escaped).join(""));
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
