import { type SpawnOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { closest } from "fastest-levenshtein";
import { printable } from "../model/printable";
import { UserError } from "../model/user-error";

/** The options of a program, as `parseArgs` takes them. */
type Options = NonNullable<ParseArgsConfig["options"]>;

/** A program of this project: an npm script. */
export interface Program {
  /** The name of the npm script; error lines begin with it. */
  readonly name: string;
  /** The text for `--help`. */
  readonly usage: string;
  /** Does the work. @returns the exit status */
  readonly main: (args: string[]) => number | Promise<number>;
  /**
   * Whether `--help` is for this program at any position. If false, it is for this program only as the first argument; the
   * other arguments may be for a program that this one starts. @default true
   */
  readonly helpAnywhere?: boolean;
  /** The exit status after a {@link UserError}. @default 1 */
  readonly errorStatus?: number;
}

/**
 * Runs a program: prints its usage for `--help`, and a {@link UserError} as one line on stderr. Any other error is a bug:
 * it is printed with its stack trace, and the exit status is the same.
 */
export async function runProgram({ name, usage, main, helpAnywhere = true, errorStatus = 1 }: Program): Promise<void> {
  // A reader that takes only the first lines closes the pipe.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  const args = process.argv.slice(2);
  const asksForHelp = (arg?: string) => arg === "--help" || arg === "-h";
  if (asksForHelp(args[0]) || (helpAnywhere && args.some(asksForHelp))) {
    console.log(usage);
    return;
  }
  try {
    process.exitCode = await main(args);
  } catch (error) {
    const text = error instanceof UserError ? error.message : ((error as Error).stack ?? String(error));
    for (const [index, line] of text.split("\n").entries()) printError(index === 0 ? `${name}: ${line}` : line);
    process.exitCode = errorStatus;
  }
}

/** Prints a line. It may contain text from other programs and files, which cannot change the terminal or add a line. */
export function print(line: string): void {
  console.log(printable(line));
}

/** Like {@link print}, on stderr. */
export function printError(line: string): void {
  console.error(printable(line));
}

/** Prints a value as JSON. Characters that would change the terminal can only be in strings, where JSON has the same escapes. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2).split("\n").map(printable).join("\n"));
}

/**
 * Parses options, and positional arguments where they are allowed.
 * @throws UserError on an unknown option (the message has the closest known one), on a missing value and on other arguments
 */
export function parseOptions<const T extends Options>(args: readonly string[], options: T, allowPositionals = false) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals, strict: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1];
    const known = Object.keys(options).map((option) => `--${option}`);
    if (unknown !== undefined) {
      throw new UserError(
        known.length === 0
          ? `'${unknown}' is not an option; this program has no options`
          : unknownWord("an option", unknown, known),
      );
    }
    const unexpected = /^Unexpected argument '([^']*)'/.exec(message)?.[1];
    if (unexpected !== undefined) {
      // npm takes the options of `npm run NAME --OPTION VALUE` for its own, and leaves the values.
      const taken = known.find(
        (option) => process.env[`npm_config_${option.slice(2).replaceAll("-", "_")}`] !== undefined,
      );
      const hint = taken === undefined ? "" : `; npm needs -- before the options: -- ${taken} ${unexpected}`;
      throw new UserError(
        `only options are allowed, got: ${unexpected}; allowed: ${known.join(", ") || "none"}${hint}`,
      );
    }
    if (!code?.startsWith("ERR_PARSE_ARGS")) throw error;
    // The first sentence of Node's message describes the problem. The others describe workarounds.
    throw new UserError(`${message.split(/\.?[ \n](?=[A-Z])/)[0]}; allowed: ${known.join(", ")}`);
  }
}

/** The error line for a word that is not allowed: `'statsu' is not a command, did you mean …`. */
export function unknownWord(kind: string, word: string, known: readonly string[]): string {
  return `'${word}' is not ${kind}, did you mean '${closest(word, [...known])}'? allowed: ${known.join(", ")}`;
}

/**
 * Runs a program in the foreground, and returns its exit status: 128 plus the number of the signal that ended it, as in a shell. This
 * process ignores some signals meanwhile, because the program ends with it. (In package.json, such a script begins with `exec`, so
 * that npm waits for this process and not for a shell, which Ctrl-C ends.)
 * @param outlived - the signals @default - SIGINT: Ctrl-C ends only the program
 */
export async function foreground(
  command: readonly string[],
  options: SpawnOptions,
  outlived: readonly NodeJS.Signals[] = ["SIGINT"],
): Promise<number> {
  const [program, ...args] = command as [string, ...string[]];
  const ignore = () => {};
  for (const signal of outlived) process.on(signal, ignore);
  const child = spawn(program, args, { ...options, stdio: "inherit" });
  const status = await new Promise<number>((resolve, reject) => {
    child
      .on("error", reject)
      .on("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
  for (const signal of outlived) process.off(signal, ignore);
  return status;
}

/**
 * The command that runs another one, which ignores the hangup of a closed terminal. Node resets what its programs ignore, so a
 * shell has to do it.
 */
export function ignoringHangup(command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'trap "" HUP && exec "$@"', "sh", ...command];
}
