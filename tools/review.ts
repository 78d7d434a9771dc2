/**
 * `npm run review`: prints the changes in the cluster as a page for a pull request. Exit status: 0, or 1 if the review is
 * not possible or has a finding of a kind in `--fail-on`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cleanUpOnSignals, ReviewError, synthesizeCheckout, synthesizeReference } from "../review/base";
import type { Changes } from "../review/changes";
import { compare } from "../review/compare";
import { describeFinding, FINDINGS, findingsOf } from "../review/findings";
import { renderPage } from "../review/page";
import { PlanError, readPlan } from "../review/plan";

const PROJECT = join(__dirname, "..");
const FORMATS = ["markdown", "json"];

const USAGE = `npm run review -- --base REFERENCE | --plan FILE    prints a page of the changes in the cluster

  --base REFERENCE    compare the working tree with this git reference
  --plan FILE         read the changes from a plan: the output of \`terraform show -json\`
  --format FORMAT     ${FORMATS.join(" or ")} (default: ${FORMATS[0]})
  --fail-on KINDS     exit with status 1 if there is a finding of one of these kinds (separated by commas):
                      ${Object.keys(FINDINGS).join(", ")}`;

async function main(): Promise<number> {
  const { base, plan, format = "markdown", "fail-on": failOn = "", help } = options();
  if (help) {
    console.log(USAGE);
    return 0;
  }
  mustBeOneOf("--format", FORMATS, format);
  const kinds = failOn.split(",").filter(Boolean);
  for (const kind of kinds) mustBeOneOf("--fail-on", Object.keys(FINDINGS), kind);

  const changes = await changesOf(base, plan);
  const findings = findingsOf(changes);
  console.log(format === "json" ? JSON.stringify({ ...changes, findings }, null, 2) : renderPage(changes));
  const failed = findings.filter(({ kind }) => kinds.includes(kind));
  for (const finding of failed) console.error(`review: ${finding.kind}: ${describeFinding(finding)}`);
  return failed.length === 0 ? 0 : 1;
}

async function changesOf(base?: string, plan?: string): Promise<Changes> {
  if ((base === undefined) === (plan === undefined)) {
    throw new ReviewError("exactly one of --base REFERENCE and --plan FILE is required");
  }
  if (plan !== undefined) return readPlan(readFile(plan));
  cleanUpOnSignals(PROJECT);
  const [before, after] = await Promise.all([
    synthesizeReference(PROJECT, base as string),
    synthesizeCheckout(PROJECT, "the working tree"),
  ]);
  return compare(before, after);
}

function options() {
  try {
    const option = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    return parseArgs({ options: { base: option, plan: option, format: option, "fail-on": option, help: flag } }).values;
  } catch (error) {
    // The first sentence of Node's message names the problem.
    throw new ReviewError((error as Error).message.split(". ")[0]);
  }
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ReviewError(
      `'--plan' must be a file with the output of \`terraform show -json\`, got: ${path} (${(error as Error).message})`,
    );
  }
}

function mustBeOneOf(name: string, allowed: readonly string[], value: string): void {
  if (!allowed.includes(value)) throw new ReviewError(`'${name}' must be one of ${allowed.join(", ")}, got: ${value}`);
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    if (!(error instanceof ReviewError || error instanceof PlanError)) throw error;
    console.error(`review: ${error.message}`);
    process.exitCode = 1;
  },
);
