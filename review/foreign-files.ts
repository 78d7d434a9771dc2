import { type Configuration, withoutKeys } from "./arguments";
import type { CopyChange } from "./changes";
import { otherFiles } from "./own-files";
import { readDistribution } from "./provisioners";
import { refersToSecret } from "./secrets";

/** The files of a copy that are not those of this project for the machine, as a plan reports them. */
export function foreignFiles(address: string, configuration: Configuration): CopyChange[] {
  const configured = withoutKeys(address);
  const files = readDistribution(configuration.get(configured) ?? new Map())?.files;
  return otherFiles(configured, configuration).map((file) => ({
    address,
    file,
    change: "not of this project",
    ...(refersToSecret(files?.get(file)?.content) && { secret: true }),
  }));
}
