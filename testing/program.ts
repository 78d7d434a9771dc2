import { type ChildProcess, spawn } from "node:child_process";

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

/** Starts a program without input, and gathers what it writes. */
export function start(
  command: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; onOutput?: (text: string) => void } = {},
): Running {
  const [program, ...args] = command as [string, ...string[]];
  const { onOutput, ...place } = options;
  const child = spawn(program, args, { ...place, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
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
