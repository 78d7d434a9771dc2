import { type ChildProcess, execFile } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { UserError } from "../model/user-error";
import { isObject } from "./arguments";
import type { Document, ProjectFiles } from "./compare";
import type { SettingsFile } from "./sarif";

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The programs that are running, and the folders to remove when they have ended or are interrupted. */
const children = new Set<ChildProcess>();
const temporary = new Set<string>();
/** Whether programs are no longer started, and whether that is because of a signal. */
let isEnding = false;
let isSignalled = false;

/** Makes a signal leave nothing behind: no program and no folder. */
export function cleanUpOnSignals(): void {
  for (const signal of SIGNALS) {
    process.once(signal, async () => {
      isSignalled = true;
      endPrograms();
      // Programs that they have started may write for a moment longer.
      for (let attempt = 0; attempt < 20 && [...temporary].some(cannotRemove); attempt++) await sleep(100);
      process.exit(128 + constants.signals[signal]);
    });
  }
}

function endPrograms(): void {
  isEnding = true;
  for (const child of children) child.kill("SIGKILL");
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

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env = process.env,
): Promise<{ stdout: string }> {
  if (isEnding) throw new UserError("it was interrupted");
  const running = promisify(execFile)(program, args, { cwd, env });
  children.add(running.child);
  return running.finally(() => children.delete(running.child));
}

/** Calls a function with a temporary folder, and removes the folder afterwards. */
async function inTemporary<T>(prefix: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  temporary.add(folder);
  try {
    return await use(folder);
  } catch (error) {
    // The failure comes from the signal, whose handler ends this process.
    if (isSignalled) await new Promise(() => {});
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    temporary.delete(folder);
  }
}

/** Synthesized documents, by the names of their stacks. */
export type Stacks = Readonly<Record<string, Document>>;

/** A synthesized version of the project. */
export interface Version {
  readonly stacks: Stacks;
  readonly files: ProjectFiles;
  /** The text of the file with the settings; empty if there is none. */
  readonly settings: string;
}

/**
 * Synthesizes a git reference and the working tree at the same time. If one fails, the other is ended.
 * @throws UserError as {@link synthesizeReference}, {@link synthesizeCheckout} and {@link synthesizeWithFiles}
 */
export async function synthesizeBoth(project: string, reference: string): Promise<readonly [Version, Version]> {
  const [present, tracked] = await Promise.all([
    filesOfGit(project, "--cached", "--others", "--exclude-standard"),
    filesOfGit(project, "--cached"),
  ]);
  const both = [
    synthesizeReference(project, reference),
    synthesizeWithFiles(project, "the working tree", project, present, tracked),
  ] as const;
  try {
    return await Promise.all(both);
  } catch (error) {
    endPrograms();
    await Promise.allSettled(both);
    throw error;
  } finally {
    isEnding = false;
  }
}

/**
 * The document of a stack.
 * @param wanted - the stack's name. @default - the only stack
 * @param name - the words for the checkout, in an error
 * @throws UserError if there is no such stack, or if there are several and none is wanted
 */
export function stackOf(stacks: Stacks, wanted: string | undefined, name: string): Document {
  const names = Object.keys(stacks);
  const [only = ""] = names;
  if (wanted === undefined && names.length !== 1) {
    throw new UserError(`'--stack' must name one of the stacks of ${name}, ${names.join(", ") || "which has none"}`);
  }
  const document = Object.hasOwn(stacks, wanted ?? only) ? stacks[wanted ?? only] : undefined;
  if (document === undefined) {
    throw new UserError(`'--stack' must be a stack of ${name} (${names.join(", ")}), got: ${wanted}`);
  }
  return document;
}

/** Synthesizes one stack of a checkout. @throws UserError as {@link synthesizeCheckout} and {@link stackOf} */
export async function synthesizeStack(folder: string, name: string, wanted?: string): Promise<Document> {
  return stackOf((await synthesizeCheckout(folder, name)).stacks, wanted, name);
}

/** The app of a checkout: the command that synthesizes it, as cdktf.json has it. */
export interface AppCommand {
  readonly command: readonly [program: string, ...args: string[]];
  /** The variables through which cdktf's CLI tells the app its output folder and its context. */
  readonly env: Readonly<Record<string, string>>;
  /** The content of cdktf.json without the context. */
  readonly cdktfJson: Readonly<Record<string, unknown>>;
}

/**
 * The app of a checkout.
 * @param output - the folder to which it writes
 * @throws UserError if cdktf.json is missing or is not a JSON object
 */
export function appOf(folder: string, output: string): AppCommand {
  const { context, ...cdktfJson } = readCdktfJson(folder);
  return {
    command: String(cdktfJson.app).split(" ") as [string, ...string[]],
    env: { CDKTF_OUTDIR: output, CDKTF_CONTEXT_JSON: JSON.stringify(context ?? {}) },
    cdktfJson,
  };
}

function readCdktfJson(folder: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(readFileSync(join(folder, "cdktf.json"), "utf8"));
    if (isObject(content)) return content;
    throw new Error("it is not an object");
  } catch (error) {
    throw new UserError(`cdktf.json must be a JSON object: ${(error as Error).message}`);
  }
}

/**
 * Synthesizes a checkout as the CLI does: runs its own app with the context of its own cdktf.json.
 * @param project - the folder of the other version, in which the file for `CLUSTER_SETTINGS` is. @default - no other version
 * @throws UserError if it does not synthesize
 */
export function synthesizeCheckout(folder: string, name: string, project?: string): Promise<Version> {
  return inTemporary("review-", async (output) => {
    try {
      const { command, env: appEnv, cdktfJson } = appOf(folder, output);
      const settings = project === undefined ? undefined : settingsPath(project, folder);
      if (settings !== undefined && !existsSync(join(folder, settings))) {
        throw new UserError(
          `${name} has no ${settings}, which 'CLUSTER_SETTINGS' names: commit the settings of the running cluster there, or use --plan`,
        );
      }
      const env = { ...process.env, ...(settings !== undefined && { CLUSTER_SETTINGS: settings }), ...appEnv };
      const [program, ...args] = command;
      await run(program, args, folder, env);
      const { stacks } = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8"));
      const documents = Object.entries(stacks as Record<string, { synthesizedStackPath: string }>).map(
        ([stack, { synthesizedStackPath }]) => {
          return [stack, JSON.parse(readFileSync(join(output, synthesizedStackPath), "utf8"))] as const;
        },
      );
      return {
        stacks: Object.fromEntries(documents),
        files: { "cdktf.json": cdktfJson },
        settings: readOrEmpty(join(folder, settings ?? "cdktf.json")),
      };
    } catch (error) {
      if (error instanceof UserError) throw error;
      const { stderr = "", message } = error as Error & { stderr?: string };
      throw new UserError(`${name} does not synthesize: ${errorLine(stderr.trim() || message)}`);
    }
  });
}

/**
 * The file with the settings of the working tree.
 * @throws UserError if the file for `CLUSTER_SETTINGS` is outside of the project
 */
export async function settingsFile(project: string): Promise<SettingsFile> {
  const path = settingsPath(project, project) ?? "cdktf.json";
  const prefix = await git(project, undefined, "rev-parse", "--show-prefix").catch(() => "");
  return { path: join(prefix, path), text: readOrEmpty(join(project, path)) };
}

/** The text of a file; empty if there is none. */
export function readOrEmpty(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/**
 * The path of the file for `CLUSTER_SETTINGS` in a checkout, so that each version is synthesized with its own file.
 * @throws UserError if the path, or the file that a link leads to, is outside of the checkout: both versions would have it
 */
function settingsPath(project: string, folder: string): string | undefined {
  const given = process.env.CLUSTER_SETTINGS;
  if (given === undefined || given === "") return undefined;
  const leadsOutside = (path: string) => /^\.\.(\/|$)/.test(path) || isAbsolute(path);
  const parent = resolve(project, dirname(given));
  const realParent = existsSync(parent) ? realpathSync(parent) : parent;
  const path = relative(realpathSync(project), join(realParent, basename(given)));
  const file = join(folder, path);
  if (leadsOutside(path) || (existsSync(file) && leadsOutside(relative(realpathSync(folder), realpathSync(file))))) {
    throw new UserError(
      `'CLUSTER_SETTINGS' must be a file in ${project}, so that each version has its own, got: ${given}`,
    );
  }
  return path;
}

/**
 * Synthesizes a git reference in a temporary folder, which is removed afterwards. The folder uses the dependencies of the
 * working tree if the lock files are equal. Otherwise its own are installed. The project may be in a folder of a larger
 * repository.
 * @throws UserError if there is no such reference, or it does not synthesize
 */
export async function synthesizeReference(project: string, reference: string): Promise<Version> {
  const top = await git(project, undefined, "rev-parse", "--show-toplevel").catch((error) => {
    const reason = gitLine(error);
    throw new UserError(
      /^not a git repository/.test(reason)
        ? `the project must be a git checkout, got: ${project}`
        : `git cannot read ${project}: ${reason}`,
    );
  });
  const prefix = await git(project, undefined, "rev-parse", "--show-prefix");
  const args = ["--verify", "--quiet", "--end-of-options", `${reference}^{commit}`];
  const commit = await git(project, undefined, "rev-parse", ...args).catch(() => {
    throw new UserError(`'--base' must be a git reference, got: ${reference}`);
  });
  return inTemporary("review-base-", async (parent) => {
    const checkout = join(parent, "base");
    mkdirSync(checkout);
    try {
      await git(top, join(parent, "index"), "read-tree", commit);
      await git(top, join(parent, "index"), "checkout-index", "--all", "--quiet", `--prefix=${checkout}/`);
    } catch (error) {
      throw new UserError(`git cannot check out ${reference}: ${gitLine(error)}`);
    }
    const folder = join(checkout, prefix);
    if (!existsSync(join(folder, "cdktf.json"))) {
      throw new UserError(`${reference} does not synthesize: it has no ${join(prefix, "cdktf.json")}`);
    }
    await provideDependencies(project, folder);
    return synthesizeWithFiles(folder, reference, project, filesBelow(folder, outputOf(folder)));
  });
}

/** The files that may be in the folder of the stacks in git: those of synthesis, and the lock file that a team keeps. */
const KEPT_FILES = /^(manifest\.json|stacks\/[^/]+\/(cdk\.tf\.json|\.terraform\.lock\.hcl))$/;

/** The files that Terraform reads in a stack's folder, in addition to those of synthesis and to its own. */
const READ_FILES =
  /^stacks\/[^/]+\/((?!cdk\.tf\.json$).*\.tf(\.json)?|.*\.tfvars(\.json)?|terraform\.d|\.terraformrc)$/;

/**
 * Synthesizes a checkout, and adds its lock files.
 * @param present - the files in the folder of the stacks that git does not ignore, relative to that folder
 * @param tracked - those that git keeps: `terraform init` writes a lock file, which is a part of the project only then
 * @throws UserError if Terraform would read other files in it, which a comparison cannot show
 */
async function synthesizeWithFiles(
  folder: string,
  name: string,
  project: string,
  present: readonly string[],
  tracked = present,
): Promise<Version> {
  const output = outputOf(folder);
  const found = filesBelow(folder, output, 3).filter((path) => READ_FILES.test(path));
  const [other] = [...present.filter((path) => !KEPT_FILES.test(path)), ...found];
  if (other !== undefined) {
    throw new UserError(
      `the folder of a stack must have no files of Terraform other than synthesis writes, got in ${name}: ${join(output, other)}`,
    );
  }
  const version = await synthesizeCheckout(folder, name, project);
  const locks = tracked
    .filter((path) => path.endsWith(".terraform.lock.hcl"))
    .map((path) => [path, readOrEmpty(join(folder, output, path))]);
  return { ...version, files: { ...version.files, ...Object.fromEntries(locks) } };
}

/** The folder of the stacks, as the CLI takes it from cdktf.json. @default - cdktf.out */
export function outputOf(folder: string): string {
  try {
    const { output } = readCdktfJson(folder);
    return typeof output === "string" && output !== "" ? output : "cdktf.out";
  } catch {
    // Synthesis reports it.
    return "cdktf.out";
  }
}

/** The files that git lists in the folder of the stacks; none outside of a repository. @param options - those of `ls-files` */
async function filesOfGit(project: string, ...options: string[]): Promise<string[]> {
  const output = outputOf(project);
  const list = await git(project, undefined, "ls-files", "-z", ...options, "--", output).catch(() => "");
  return list
    .split("\0")
    .filter(Boolean)
    .map((path) => relative(output, path));
}

/** The paths below a folder, to a depth, relative to it. A link counts as a file. */
function filesBelow(parent: string, folder: string, depth = 20): string[] {
  const top = resolve(parent, folder);
  const below = (path: string, level: number): string[] =>
    readdirSync(join(top, path), { withFileTypes: true }).flatMap((entry) => {
      const inner = join(path, entry.name);
      return entry.isDirectory() && level < depth ? below(inner, level + 1) : [inner];
    });
  if (!existsSync(top)) return [];
  return lstatSync(top).isDirectory() ? below("", 1) : [""];
}

/** The variables that git sets for a hook. With them, git would not look for the repository of a folder. */
const HOOK_VARIABLES = ["GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX"];

/** Runs git. @param index - an index of its own, so that the working tree's stays as it is. @returns its output */
async function git(folder: string, index: string | undefined, ...args: string[]): Promise<string> {
  const inherited = Object.entries(process.env).filter(([name]) => !HOOK_VARIABLES.includes(name));
  const env = { ...Object.fromEntries(inherited), ...(index !== undefined && { GIT_INDEX_FILE: index }) };
  const { stdout } = await run("git", args, folder, env);
  return stdout.replace(/\n$/, "");
}

/** The error of git in one line. */
function gitLine(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  return errorLine(stderr || message).replace(/^fatal: /, "");
}

async function provideDependencies(project: string, folder: string): Promise<void> {
  const lock = (each: string) => {
    const file = join(each, "package-lock.json");
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  };
  if (existsSync(join(project, "node_modules")) && lock(project) === lock(folder)) {
    symlinkSync(join(project, "node_modules"), join(folder, "node_modules"));
    return;
  }
  try {
    await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], folder);
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
