import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv from "ajv/dist/2020";
import type { Changes } from "../review/changes";
import { reportOf } from "../review/report";

// The published file, and not the schema in the code: it is what others check with.
const published = JSON.parse(readFileSync(join(__dirname, "../docs/review.schema.json"), "utf8"));
const validate = new Ajv({ allErrors: true }).compile(published);

/** The problems that the published schema finds in the JSON of changes. */
export function reportProblems(changes: Changes): string[] {
  return problemsOf(reportOf(changes));
}

/** The problems that the published schema finds in a value. */
export function problemsOf(value: unknown): string[] {
  validate(JSON.parse(JSON.stringify(value)));
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}
