import { skippedSuites } from "../cloud/requirements";

/**
 * Runs before all tests, and prints the suites that this machine skips, with the way to run them.
 * @throws Error with these lines if LEAVE_NOTHING_OUT forbids to skip a suite. Those that need OpenTofu may be skipped: it has
 *   to be built from its source
 */
export default function reportSkippedSuites(): void {
  const forbidden = process.env.LEAVE_NOTHING_OUT ? skippedSuites({ except: ["OpenTofu"] }) : [];
  if (forbidden.length > 0) throw new Error(report(forbidden));
  const skipped = skippedSuites();
  if (skipped.length > 0) process.stderr.write(`${report(skipped)}\n`);
}

function report(skipped: readonly string[]): string {
  return ["Skipped on this machine:", ...skipped.map((line) => `  ${line}`)].join("\n");
}
