/**
 * `npm run review`: prints the changes in the cluster as a page for a pull request. Exit status: 0, or 1 if the review is
 * not possible or has a finding of a kind in `--fail-on`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../model/user-error";
import { cleanUpOnSignals, settingsFile, stackOf, synthesizeBoth, synthesizeStack } from "../review/base";
import type { Changes } from "../review/changes";
import { compare, type Document, fileChanges } from "../review/compare";
import { renderDiagram } from "../review/diagram";
import { KINDS, UNSEEN_IN_COMPARISON, UNSEEN_IN_PLAN } from "../review/kinds";
import { describeFinding, renderPage } from "../review/page";
import { readPlan } from "../review/plan";
import { reportOf } from "../review/report";
import { sarifOf } from "../review/sarif";
import { parseOptions, printError, printJson, runProgram } from "./program";

const PROJECT = join(__dirname, "..");
const FORMATS = ["markdown", "json", "sarif"];

const USAGE = `npm run review -- --base REFERENCE | --plan FILE    prints a page of the changes in the cluster

  --base REFERENCE    compare the working tree with this git reference
  --plan FILE         read the changes from a plan: the output of \`terraform show -json PLAN\`
  --stack NAME        the stack to compare, if the app has several
  --picture           add a picture of the cluster, if page and picture fit into a comment on GitHub
  --format FORMAT     ${FORMATS.join(", ")} (default: ${FORMATS[0]}); sarif is for GitHub code scanning
  --fail-on KINDS     exit with status 1 if there is a finding of one of these kinds (separated by commas):
                      ${KINDS.join(", ")};
                      not in a plan: ${UNSEEN_IN_PLAN.join(", ")}; only in a plan: ${UNSEEN_IN_COMPARISON.join(", ")}`;

const TEXT = { type: "string" } as const;

async function main(args: string[]): Promise<number> {
  const { values } = parseOptions(args, {
    base: TEXT,
    plan: TEXT,
    stack: TEXT,
    picture: { type: "boolean" },
    format: TEXT,
    "fail-on": TEXT,
  });
  const { base, plan, stack, picture = false, format = "markdown", "fail-on": failOn = "" } = values;
  mustBeOneOf("--format", FORMATS, format);
  if ((base === undefined) === (plan === undefined)) {
    throw new UserError("exactly one of --base REFERENCE and --plan FILE is required");
  }
  const kinds = failOn.split(",").filter(Boolean);
  const unseen: readonly string[] = plan === undefined ? UNSEEN_IN_COMPARISON : UNSEEN_IN_PLAN;
  for (const kind of kinds) {
    mustBeOneOf("--fail-on", KINDS, kind);
    if (unseen.includes(kind)) {
      const [here, there] = plan === undefined ? ["without a plan", "--plan"] : ["in a plan", "--base"];
      throw new UserError(`'--fail-on' must be a kind that can be seen ${here}, got: ${kind}; use ${there} for it`);
    }
  }

  const { changes, document, settingsBefore } = await (plan === undefined
    ? compareWith(base as string, stack)
    : fromPlan(plan, stack, picture));
  const report = reportOf(changes);
  const drawn = picture && document !== undefined ? renderDiagram(document) : undefined;
  if (format === "json") printJson(report);
  else if (format === "sarif") {
    const settings = await settingsFile(PROJECT);
    const category = plan === undefined ? "comparison" : "plan";
    printJson(sarifOf(report.findings, { settings, before: settingsBefore, category, project: projectAddress() }));
  } else console.log(renderPage(changes, { picture: drawn, project: projectAddress() }));
  const failed = report.findings.filter(({ kind }) => kinds.includes(kind));
  for (const finding of failed) printError(`review: ${finding.kind}: ${describeFinding(finding)}`);
  return failed.length === 0 ? 0 : 1;
}

/** The address of the project's files on GitHub in a workflow; undefined elsewhere. `HEAD` is the default branch. */
function projectAddress(
  { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env,
): string | undefined {
  return server && repository ? `${server}/${repository}/blob/HEAD/` : undefined;
}

/** The changes, and the document of the cluster after them if it is synthesized. */
interface Reviewed {
  readonly changes: Changes;
  readonly document?: Document;
  /** The text of the file with the settings before. A plan does not have it. */
  readonly settingsBefore?: string;
}

async function compareWith(base: string, stack: string | undefined): Promise<Reviewed> {
  cleanUpOnSignals();
  const [before, after] = await synthesizeBoth(PROJECT, base);
  const document = stackOf(after.stacks, stack, "the working tree");
  const changes = compare(stackOf(before.stacks, stack, base), document);
  const elsewhere = [...changes.elsewhere, ...fileChanges(before.files, after.files)];
  return { changes: { ...changes, elsewhere }, document, settingsBefore: before.settings };
}

async function fromPlan(plan: string, stack: string | undefined, picture: boolean): Promise<Reviewed> {
  const changes = readPlan(readFile(plan));
  if (!picture) return { changes };
  cleanUpOnSignals();
  return {
    changes,
    document: await synthesizeStack(PROJECT, "the working tree", stack),
  };
}

/** Reads a plan. PowerShell writes the output of a program in UTF-16. */
function readFile(path: string): string {
  try {
    const bytes = readFileSync(path);
    return bytes.subarray(0, 2).equals(Buffer.from([0xff, 0xfe])) ? bytes.toString("utf16le") : bytes.toString("utf8");
  } catch (error) {
    throw new UserError(
      `'--plan' must be a file with the output of \`terraform show -json PLAN\`, got: ${path} (${(error as Error).message})`,
    );
  }
}

function mustBeOneOf(name: string, allowed: readonly string[], value: string): void {
  if (!allowed.includes(value)) throw new UserError(`'${name}' must be one of ${allowed.join(", ")}, got: ${value}`);
}

runProgram({ name: "review", usage: USAGE, main });
