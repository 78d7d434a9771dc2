import { leftOut } from "../cloud/requirements";

/** Before all tests: says in one line what is left out; where nothing may be, that ends the run. */
export default function sayWhatIsLeftOut(): void {
  const line = leftOut();
  if (line === undefined) return;
  if (process.env.LEAVE_NOTHING_OUT) throw new Error(line);
  process.stderr.write(`${line}\n`);
}
