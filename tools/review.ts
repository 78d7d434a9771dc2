/**
 * `npm run review`: prints the changes in the cluster as a page for a pull request. Exit status: 0, or 1 if the review is
 * not possible or has a finding of a kind in `--fail-on`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../model/user-error";
import { cleanUpOnSignals, synthesizeCheckout, synthesizeReference } from "../review/base";
import type { Changes } from "../review/changes";
import { compare } from "../review/compare";
import { describeFinding, FINDINGS, findingsOf } from "../review/findings";
import { renderPage } from "../review/page";
import { readPlan } from "../review/plan";
import { parseOptions, runProgram } from "./program";

const PROJECT = join(__dirname, "..");
const FORMATS = ["markdown", "json"];

const USAGE = `npm run review -- --base REFERENCE | --plan FILE    prints a page of the changes in the cluster

  --base REFERENCE    compare the working tree with this git reference
  --plan FILE         read the changes from a plan: the output of \`terraform show -json\`
  --format FORMAT     ${FORMATS.join(" or ")} (default: ${FORMATS[0]})
  --fail-on KINDS     exit with status 1 if there is a finding of one of these kinds (separated by commas):
                      ${Object.keys(FINDINGS).join(", ")}`;

const TEXT = { type: "string" } as const;

async function main(args: string[]): Promise<number> {
  const { values } = parseOptions(args, { base: TEXT, plan: TEXT, format: TEXT, "fail-on": TEXT });
  const { base, plan, format = "markdown", "fail-on": failOn = "" } = values;
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
    throw new UserError("exactly one of --base REFERENCE and --plan FILE is required");
  }
  if (plan !== undefined) return readPlan(readFile(plan));
  cleanUpOnSignals(PROJECT);
  const [before, after] = await Promise.all([
    synthesizeReference(PROJECT, base as string),
    synthesizeCheckout(PROJECT, "the working tree"),
  ]);
  return compare(before, after);
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(
      `'--plan' must be a file with the output of \`terraform show -json\`, got: ${path} (${(error as Error).message})`,
    );
  }
}

function mustBeOneOf(name: string, allowed: readonly string[], value: string): void {
  if (!allowed.includes(value)) throw new UserError(`'${name}' must be one of ${allowed.join(", ")}, got: ${value}`);
}

runProgram({ name: "review", usage: USAGE, main });
