/**
 * `npm run review`: what changes in the cluster, as a page for a pull request. Exit status: 0, or 1 where it cannot be
 * said or something that `--fail-on` names is among what to look at.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cleanUpOnSignals, ReviewError, synthesizeCheckout, synthesizeReference } from "../review/base";
import type { Changes } from "../review/changes";
import { compare } from "../review/compare";
import { CONCERNS, concernsOf, describeConcern } from "../review/findings";
import { renderPage } from "../review/page";
import { PlanError, readPlan } from "../review/plan";

const PROJECT = join(__dirname, "..");
const FORMATS = ["markdown", "json"];

const USAGE = `npm run review -- --base REFERENCE | --plan FILE    what changes in the cluster, on a page

  --base REFERENCE    against what a git reference synthesizes
  --plan FILE         what \`terraform show -json\` says of a saved plan
  --format FORMAT     ${FORMATS.join(" or ")}, else ${FORMATS[0]}
  --fail-on KINDS     exit status 1 where it has one of these, with commas between:
                      ${Object.keys(CONCERNS).join(", ")}`;

async function main(): Promise<number> {
  const { base, plan, format = "markdown", "fail-on": failOn = "", help } = options();
  if (help) {
    console.log(USAGE);
    return 0;
  }
  mustBeOneOf("--format", FORMATS, format);
  const kinds = failOn.split(",").filter(Boolean);
  for (const kind of kinds) mustBeOneOf("--fail-on", Object.keys(CONCERNS), kind);

  const changes = await changesOf(base, plan);
  const concerns = concernsOf(changes);
  console.log(format === "json" ? JSON.stringify({ ...changes, concerns }, null, 2) : renderPage(changes));
  const failed = concerns.filter(({ kind }) => kinds.includes(kind));
  for (const concern of failed) console.error(`review: ${concern.kind}: ${describeConcern(concern)}`);
  return failed.length === 0 ? 0 : 1;
}

async function changesOf(base?: string, plan?: string): Promise<Changes> {
  if ((base === undefined) === (plan === undefined)) {
    throw new ReviewError("either --base GIT_REFERENCE or --plan FILE is needed");
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
    // Node's first sentence says what is wrong.
    throw new ReviewError((error as Error).message.split(". ")[0]);
  }
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ReviewError(
      `'--plan' must be a file from \`terraform show -json\`, got: ${path} (${(error as Error).message})`,
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
