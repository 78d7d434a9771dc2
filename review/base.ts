import { type ChildProcess, execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { simpleGit } from "simple-git";
import { UserError } from "../model/user-error";
import type { Document } from "./compare";

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The programs that are running, and the folders to remove when they have ended or are interrupted. */
const children = new Set<ChildProcess>();
const temporary = new Set<string>();
const interrupted = new AbortController();

/** Makes a signal leave nothing behind: no program, no folder, no worktree. */
export function cleanUpOnSignals(project: string): void {
  for (const signal of SIGNALS) {
    process.once(signal, async () => {
      interrupted.abort();
      for (const child of children) child.kill("SIGKILL");
      // Programs that they have started may write for a moment longer.
      for (let attempt = 0; attempt < 20 && [...temporary].some(cannotRemove); attempt++) await sleep(100);
      spawnSync("git", ["worktree", "prune"], { cwd: project });
      process.exit(128 + constants.signals[signal]);
    });
  }
}

/** Tries to remove a folder. @returns whether a part of it remains */
function cannotRemove(folder: string): boolean {
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

/** Calls a function with a temporary folder, and removes the folder afterwards. */
async function inTemporary<T>(prefix: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  temporary.add(folder);
  try {
    return await use(folder);
  } catch (error) {
    // The failure comes from the kill, so there is nothing to report.
    if (interrupted.signal.aborted) await new Promise(() => {});
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    temporary.delete(folder);
  }
}

/**
 * Synthesizes a checkout as the CLI does: runs its own app with the context of its own cdktf.json.
 * @throws UserError if it does not synthesize
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
      throw new UserError(`${name} does not synthesize: ${errorLine(stderr.trim() || message)}`);
    }
  });
}

/**
 * Synthesizes a git reference in a temporary worktree, which is removed afterwards. The worktree uses the dependencies of
 * the working tree if the lock files are equal. Otherwise its own are installed.
 * @throws UserError if there is no such reference, or it does not synthesize
 */
export async function synthesizeReference(project: string, reference: string): Promise<Document> {
  const git = simpleGit({ baseDir: project, abort: interrupted.signal });
  if (!(await git.checkIsRepo())) throw new UserError(`the project must be a git checkout, got: ${project}`);
  const args = ["--verify", "--quiet", "--end-of-options", `${reference}^{commit}`];
  const commit = await git.revparse(args).catch(() => "");
  if (commit === "") throw new UserError(`'--base' must be a git reference, got: ${reference}`);
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
    throw new UserError(
      `the base's dependencies cannot be installed: ${errorLine((error as { stderr: string }).stderr)}`,
    );
  }
}

/** The error of a failed program in one line: the error that was thrown, npm's error, or the first line of the output. */
function errorLine(text: string): string {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const thrown = lines.find((line) => /^\w*Error: /.test(line));
  const npmError = lines.find((line) => /^npm error (?!code|errno|syscall|path)\S/.test(line));
  return (thrown ?? npmError ?? lines[0] ?? "").replace(/^(Error: |npm error )/, "");
}
