import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { simpleGit } from "simple-git";
import type { Document } from "./compare";

const run = promisify(execFile);

/** Something that cannot be reviewed; the message says why in one line. */
export class ReviewError extends Error {}

/**
 * Synthesizes a checkout as the CLI does: its own app, with the context of its own cdktf.json.
 * @throws ReviewError where it does not synthesize
 */
export async function synthesizeCheckout(folder: string, name: string): Promise<Document> {
  const output = mkdtempSync(join(tmpdir(), "review-"));
  try {
    const { app, context } = JSON.parse(readFileSync(join(folder, "cdktf.json"), "utf8"));
    const env = { ...process.env, CDKTF_OUTDIR: output, CDKTF_CONTEXT_JSON: JSON.stringify(context ?? {}) };
    const [program, ...args] = String(app).split(" ") as [string, ...string[]];
    await run(program, args, { cwd: folder, env });
    const { stacks } = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8"));
    const [stack] = Object.values(stacks) as { synthesizedStackPath: string }[];
    return JSON.parse(readFileSync(join(output, stack?.synthesizedStackPath as string), "utf8"));
  } catch (error) {
    const { stderr = "", message } = error as Error & { stderr?: string };
    throw new ReviewError(`${name} does not synthesize: ${(stderr.trim() || message).split("\n")[0]}`);
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

/**
 * Synthesizes what a git reference names, in a worktree of its own that is gone afterwards. Its dependencies are those of
 * the working tree where the lock files are equal, and installed otherwise.
 * @throws ReviewError where there is no such reference, or it does not synthesize
 */
export async function synthesizeReference(project: string, reference: string): Promise<Document> {
  const git = simpleGit(project);
  if (!(await git.checkIsRepo())) throw new ReviewError(`a git checkout is needed, got: ${project}`);
  const wanted = ["--verify", "--quiet", "--end-of-options", `${reference}^{commit}`];
  const commit = await git.revparse(wanted).catch(() => "");
  if (commit === "") throw new ReviewError(`'--base' must be a git reference, got: ${reference}`);
  const parent = mkdtempSync(join(tmpdir(), "review-base-"));
  const worktree = join(parent, "base");
  try {
    await git.raw(["worktree", "add", "--detach", "--quiet", worktree, commit]);
    await provideDependencies(project, worktree);
    return await synthesizeCheckout(worktree, reference);
  } finally {
    rmSync(parent, { recursive: true, force: true });
    await git.raw(["worktree", "prune"]);
  }
}

async function provideDependencies(project: string, worktree: string): Promise<void> {
  const lock = (folder: string) => readFileSync(join(folder, "package-lock.json"), "utf8");
  if (existsSync(join(project, "node_modules")) && lock(project) === lock(worktree)) {
    symlinkSync(join(project, "node_modules"), join(worktree, "node_modules"));
    return;
  }
  await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: worktree });
}
