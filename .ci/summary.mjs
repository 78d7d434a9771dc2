/** Prints the failed tests of jest's result files with their reasons, and the totals. Exit status 1 if a test failed or was skipped. */
import { existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/** A reason may hold all of Terraform's output. Its cause is at the begin or at the end. */
const LINES = { first: 6, last: 24 };

const results = process.argv
  .slice(2)
  .flatMap((file) => (existsSync(file) ? [JSON.parse(readFileSync(file, "utf8"))] : []));

function shortened(reason) {
  const all = stripVTControlCharacters(reason).trimEnd().split("\n");
  const lines = all.filter((line) => !/^\s+at .*node_modules/.test(line));
  const left = lines.length - LINES.first - LINES.last;
  if (left <= 1) return lines;
  return [...lines.slice(0, LINES.first), `[${left} lines left out]`, ...lines.slice(-LINES.last)];
}

for (const { name, message, assertionResults } of results.flatMap(({ testResults }) => testResults)) {
  const failed = assertionResults.filter(({ status }) => status === "failed");
  const reasons = failed.map(({ fullName, failureMessages }) => [fullName, failureMessages.join("\n")]);
  // A file that does not load has no tests.
  if (failed.length === 0 && message !== "") reasons.push(["the file", message]);
  for (const [test, reason] of reasons) {
    if (reason.includes("not run, because an earlier step failed")) continue;
    console.log(`FAILED ${name}: ${test}`);
    for (const line of shortened(reason)) console.log(`  ${line}`);
  }
}

const sum = (count) => results.map(count).reduce((a, b) => a + b, 0);
const passed = sum(({ numPassedTests }) => numPassedTests);
const failed = sum(({ numFailedTests, numFailedTestSuites }) => Math.max(numFailedTests, numFailedTestSuites));
const skipped = sum(({ numPendingTests }) => numPendingTests);
console.log(`Tests: ${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed + skipped > 0 ? 1 : 0;
