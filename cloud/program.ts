import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";

/** How a program ended. */
export interface Ended {
  /** Its exit status, or null where a signal ended it. */
  readonly status: number | null;
  /** What it wrote, both streams in one. */
  readonly output: string;
}

/** A program that runs, what it has written, and its end. */
export interface Running {
  readonly process: ChildProcess;
  /** What it has written so far, both streams in one. */
  readonly output: () => string;
  readonly ended: Promise<Ended>;
}

/** How a program is started. */
export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Gets what it writes, as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Whether it gets a terminal, whose keys are what is written to its standard input. @default false: no input */
  readonly terminal?: boolean;
}

const IN_TERMINAL = [
  "python3",
  "-c",
  "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
];

/** Starts a program, and gathers what it writes. */
export function start(command: readonly string[], { onOutput, terminal, ...place }: StartOptions = {}): Running {
  const [program, ...args] = [...(terminal ? IN_TERMINAL : []), ...command] as [string, ...string[]];
  const child = spawn(program, args, { ...place, stdio: [terminal ? "pipe" : "ignore", "pipe", "pipe"] });
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
