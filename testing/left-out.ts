import { skippedSuites } from "../cloud/requirements";

/**
 * Runs before all tests, and prints one line with the suites that this machine skips.
 * @throws Error with that line if LEAVE_NOTHING_OUT forbids to skip a suite
 */
export default function reportSkippedSuites(): void {
  const line = skippedSuites();
  if (line === undefined) return;
  if (process.env.LEAVE_NOTHING_OUT) throw new Error(line);
  process.stderr.write(`${line}\n`);
}
