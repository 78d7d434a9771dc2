/** Characters that end a line, move the cursor, change the direction of text, or are invisible. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what the function escapes
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Text from another program or file on one line, with only visible characters: control characters, line and paragraph
 * separators, and marks that change the direction of text are written as in JSON, `\u001b`.
 */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (each) => SHORT[each] ?? `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
