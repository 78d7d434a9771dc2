/**
 * An error of the person who uses the project, or of the machine: bad input, a missing file, a program that fails.
 * The message is one line for each problem; programs print it without a stack trace.
 */
export class UserError extends Error {}
