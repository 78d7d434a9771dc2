import { readFileSync } from "node:fs";
import { type ParseError, parse, printParseErrorCode, visit } from "jsonc-parser";
import { mustBe, oneLine } from "../model/formats";
import { UserError } from "../model/user-error";

/** A comment or a trailing comma is an error, as in JSON.parse. */
const STRICT = { disallowComments: true, allowTrailingComma: false };

/**
 * Reads a JSON file.
 * @param name - the name of the setting or variable that has the path
 * @param path - the path, relative to the working directory
 * @throws UserError if the file cannot be read, is not JSON or has a key twice
 */
export function readJsonFile(name: string, path: string): unknown {
  const refusal = (reason: string) =>
    new UserError(`${mustBe(name, "the path of a JSON file", path)} (${reason.replace(/\s+/g, " ")})`);
  let text: string;
  try {
    // Skips a byte order mark.
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw refusal((error as Error).message);
  }
  const problem = syntaxError(text);
  if (problem !== undefined) throw refusal(problem);
  refuseRepeatedKey(text, path);
  return JSON.parse(text);
}

/**
 * Refuses a JSON text in which an object has a key twice. JSON.parse keeps only the last value of such a key.
 * @throws UserError with the file, the line and the column of the second one
 */
export function refuseRepeatedKey(text: string, file: string): void {
  const repeated = repeatedKey(text);
  if (repeated === undefined) return;
  const { name, line, column } = repeated;
  throw new UserError(
    `'${oneLine(name)}' must be given once, got: a second time in ${oneLine(file)}, line ${line}, column ${column}`,
  );
}

/** A key that an object in a JSON text has twice. */
interface RepeatedKey {
  /** The path of the key, such as `workers.count`. */
  readonly name: string;
  /** The line of the second one, from 1. */
  readonly line: number;
  /** The column of the second one, from 1. */
  readonly column: number;
}

/**
 * The first syntax error in a JSON text, with its line and column: `line 2, column 11: value expected`.
 * @returns undefined if the text is JSON
 */
function syntaxError(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    const errors: ParseError[] = [];
    withoutOverflow(() => parse(text, errors, STRICT));
    const [first] = errors;
    if (first === undefined) return (error as Error).message;
    const before = text.slice(0, first.offset).split("\n");
    const words = printParseErrorCode(first.error).replace(/(?<=[a-z])(?=[A-Z])/g, " ");
    return `line ${before.length}, column ${(before.at(-1) as string).length + 1}: ${words.toLowerCase()}`;
  }
}

/**
 * The first key that an object in a JSON text has twice.
 * @returns undefined if there is none
 */
function repeatedKey(text: string): RepeatedKey | undefined {
  const objects: Set<string>[] = [];
  let repeated: RepeatedKey | undefined;
  withoutOverflow(() =>
    visit(text, {
      onObjectBegin: () => {
        objects.push(new Set());
      },
      onObjectEnd: () => {
        objects.pop();
      },
      onObjectProperty: (key, _offset, _length, line, column, path) => {
        const keys = objects.at(-1);
        if (keys?.has(key)) repeated ??= { name: [...path(), key].join("."), line: line + 1, column: column + 1 };
        keys?.add(key);
      },
    }),
  );
  return repeated;
}

/** Runs the parser. It needs stack frames for each level, and the settings have few: the schema refuses deeper values. */
function withoutOverflow(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}
