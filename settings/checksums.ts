import { holds, LIMITS, type Limit, mustBe } from "../model/formats";
import { UserError } from "../model/user-error";
import { readJsonFile } from "./json";

/** The name of the setting, in error messages. */
const SETTING = "kubernetes.checksums";

/** The allowed values of the setting, in the words of an error message. */
export const CHECKSUMS_FILE = "the path of a JSON file with an object of sums and digests";

/** The keys in a file of checksums, each with the format of its values. */
const KINDS: readonly { readonly key: RegExp; readonly value: Limit }[] = [
  { key: /^[a-z0-9.-]+(:[0-9]+)?\/[A-Za-z0-9._~%/-]+$/, value: LIMITS.sum },
  { key: /^[a-z0-9.-]+(:[0-9]+)?\/[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9_.-]*$/, value: LIMITS.digest },
];

const KEYS =
  "a file whose keys are addresses of release files without https:// and images with their tag, such as dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet and registry.k8s.io/pause:3.10.2";

/**
 * Reads a file of checksums: SHA-256 sums of release files by HOST/PATH, and digests of images by REGISTRY/NAME:TAG.
 * @param path - the path, relative to the working directory
 * @throws UserError with a line for each problem
 */
export function readChecksums(path: string): Record<string, string> {
  const content = readJsonFile(SETTING, path);
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new UserError(`${mustBe(SETTING, CHECKSUMS_FILE, path)} (it has no object)`);
  }
  const problems = Object.entries(content).flatMap(([key, value]) => {
    const kind = KINDS.find((each) => each.key.test(key));
    if (kind === undefined) return [mustBe(SETTING, KEYS, key)];
    const valid = typeof value === "string" && holds(kind.value, value);
    return valid ? [] : [mustBe(`${SETTING}.${key}`, kind.value.allowed, value)];
  });
  if (problems.length > 0) throw new UserError(...problems);
  return content as Record<string, string>;
}
