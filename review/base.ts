import { type ChildProcess, execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { simpleGit } from "simple-git";
import type { Document } from "./compare";

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** What is running, and the folders that go when it has ended, or is interrupted. */
const children = new Set<ChildProcess>();
const temporary = new Set<string>();
const interrupted = new AbortController();

/** Something that cannot be reviewed; the message says why in one line. */
export class ReviewError extends Error {}

/** Has nothing left behind by a signal: no program, no folder, no worktree. */
export function cleanUpOnSignals(project: string): void {
  for (const signal of SIGNALS) {
    process.once(signal, async () => {
      interrupted.abort();
      for (const child of children) child.kill("SIGKILL");
      // What they have started in turn may go on writing for a moment.
      for (let attempt = 0; attempt < 20 && [...temporary].some(isLeft); attempt++) await sleep(100);
      spawnSync("git", ["worktree", "prune"], { cwd: project });
      process.exit(128 + constants.signals[signal]);
    });
  }
}

/** Tries to remove a folder. @returns whether something of it is left */
function isLeft(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true, force: true });
    return false;
  } catch {
    return true;
  }
}

async function run(program: string, args: readonly string[], cwd: string, env = process.env): Promise<void> {
  const running = promisify(execFile)(program, args, { cwd, env });
  children.add(running.child);
  await running.finally(() => children.delete(running.child));
}

/** Gives a folder to something, and removes it afterwards. */
async function inTemporary<T>(prefix: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  temporary.add(folder);
  try {
    return await use(folder);
  } catch (error) {
    // What fails then, fails for being killed: nothing is left to say.
    if (interrupted.signal.aborted) await new Promise(() => {});
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    temporary.delete(folder);
  }
}

/**
 * Synthesizes a checkout as the CLI does: its own app, with the context of its own cdktf.json.
 * @throws ReviewError where it does not synthesize
 */
export function synthesizeCheckout(folder: string, name: string): Promise<Document> {
  return inTemporary("review-", async (output) => {
    try {
      const { app, context } = JSON.parse(readFileSync(join(folder, "cdktf.json"), "utf8"));
      const env = { ...process.env, CDKTF_OUTDIR: output, CDKTF_CONTEXT_JSON: JSON.stringify(context ?? {}) };
      const [program, ...args] = String(app).split(" ") as [string, ...string[]];
      await run(program, args, folder, env);
      const { stacks } = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8"));
      const [stack] = Object.values(stacks) as { synthesizedStackPath: string }[];
      return JSON.parse(readFileSync(join(output, stack?.synthesizedStackPath as string), "utf8"));
    } catch (error) {
      const { stderr = "", message } = error as Error & { stderr?: string };
      throw new ReviewError(`${name} does not synthesize: ${gist(stderr.trim() || message)}`);
    }
  });
}

/**
 * Synthesizes what a git reference names, in a worktree of its own that is gone afterwards. Its dependencies are those of
 * the working tree where the lock files are equal, and installed otherwise.
 * @throws ReviewError where there is no such reference, or it does not synthesize
 */
export async function synthesizeReference(project: string, reference: string): Promise<Document> {
  const git = simpleGit({ baseDir: project, abort: interrupted.signal });
  if (!(await git.checkIsRepo())) throw new ReviewError(`a git checkout is needed, got: ${project}`);
  const wanted = ["--verify", "--quiet", "--end-of-options", `${reference}^{commit}`];
  const commit = await git.revparse(wanted).catch(() => "");
  if (commit === "") throw new ReviewError(`'--base' must be a git reference, got: ${reference}`);
  try {
    return await inTemporary("review-base-", async (parent) => {
      const worktree = join(parent, "base");
      await git.raw(["worktree", "add", "--detach", "--quiet", worktree, commit]);
      await provideDependencies(project, worktree);
      return synthesizeCheckout(worktree, reference);
    });
  } finally {
    await git.raw(["worktree", "prune"]);
  }
}

async function provideDependencies(project: string, worktree: string): Promise<void> {
  const lock = (folder: string) => readFileSync(join(folder, "package-lock.json"), "utf8");
  if (existsSync(join(project, "node_modules")) && lock(project) === lock(worktree)) {
    symlinkSync(join(project, "node_modules"), join(worktree, "node_modules"));
    return;
  }
  try {
    await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], worktree);
  } catch (error) {
    throw new ReviewError(`the base's dependencies cannot be installed: ${gist((error as { stderr: string }).stderr)}`);
  }
}

/** What a program that failed has to say, in one line: the error that was thrown, npm's, or the first of its lines. */
function gist(text: string): string {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const thrown = lines.find((line) => /^\w*Error: /.test(line));
  const ofNpm = lines.find((line) => /^npm error (?!code|errno|syscall|path)\S/.test(line));
  return (thrown ?? ofNpm ?? lines[0] ?? "").replace(/^(Error: |npm error )/, "");
}
