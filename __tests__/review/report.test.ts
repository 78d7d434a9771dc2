import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readPlan } from "../../review/plan";
import { reportOf } from "../../review/report";
import { problemsOf, reportProblems } from "../../testing/report-schema";

const PLANS = join(__dirname, "plans");
const plans = readdirSync(PLANS).filter((name) => name !== "a-state.json");

// The tests of the pages check the JSON of their changes.
test.each(plans)("the JSON of the plan %s is valid against the published schema", (name) => {
  expect(reportProblems(readPlan(readFileSync(join(PLANS, name), "utf8")))).toEqual([]);
});

test("the published schema refuses another document", () => {
  const report = reportOf({ resources: [], counts: [], copies: [], elsewhere: [] });
  expect(problemsOf(report)).toEqual([]);
  expect(problemsOf({ ...report, more: 1 })).toEqual([" must NOT have additional properties"]);
  expect(problemsOf({ ...report, findings: [{ kind: "rain", addresses: [] }] })).toEqual([
    "/findings/0/kind must be equal to one of the allowed values",
  ]);
  expect(problemsOf({ ...report, counts: [{ type: "aws_lb", before: -1, after: 0 }] })).toEqual([
    "/counts/0/before must be >= 0",
  ]);
});
