import { z } from "zod";
import { type Changes, changesSchema, type DeepReadonly } from "./changes";
import { findingSchema, findingsOf } from "./findings";

/** The output of `npm run review -- --format json`. */
const reportSchema = changesSchema.extend({
  findings: z.array(findingSchema).describe("The consequences that a reviewer must look at, the most important first."),
});

/** The output of `npm run review -- --format json`. */
export type Report = DeepReadonly<z.infer<typeof reportSchema>>;

/** The report of changes: all but the configurations, and the findings. */
export function reportOf(changes: Changes): Report {
  const { before: _before, after: _after, ...shown } = changes;
  return { ...shown, findings: findingsOf(changes) };
}

/** The JSON Schema (2020-12) of a {@link Report}. */
export function reportJsonSchema(): object {
  return { title: "The output of `npm run review -- --format json`", ...z.toJSONSchema(reportSchema) };
}
