import { printable } from "./printable";

/**
 * An error of the person who uses the project, or of the machine: bad input, a missing file, a program that fails. The
 * message is one line for each problem; programs print it without a stack trace. It may contain text from other programs and
 * files: characters that would change the terminal, or add a line, are escaped here.
 */
export class UserError extends Error {
  /** @param problems - a line for each problem */
  constructor(...problems: readonly string[]) {
    super(problems.map(printable).join("\n"));
  }
}
