import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";

/** The end of a program. */
export interface Ended {
  /** The exit status; null if a signal ended the program. */
  readonly status: number | null;
  /** The text of standard output and standard error, in one. */
  readonly output: string;
}

/** A running program. */
export interface Running {
  readonly process: ChildProcess;
  /** The output until now: standard output and standard error, in one. */
  readonly output: () => string;
  /** The program's end. */
  readonly ended: Promise<Ended>;
}

/** The options of {@link start}. */
export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Receives the output piece by piece. */
  readonly onOutput?: (text: string) => void;
  /** Whether the program gets a terminal. Text written to its standard input then acts as keys. @default false: no input */
  readonly terminal?: boolean;
}

const IN_TERMINAL = [
  "python3",
  "-c",
  "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
];

/** Starts a program, and collects its output. */
export function start(command: readonly string[], { onOutput, terminal, ...options }: StartOptions = {}): Running {
  const [program, ...args] = [...(terminal ? IN_TERMINAL : []), ...command] as [string, ...string[]];
  const child = spawn(program, args, { ...options, stdio: [terminal ? "pipe" : "ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      onOutput?.(text);
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
  return { process: child, output: () => output, ended };
}
