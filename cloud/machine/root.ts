import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../model/user-error";
import { ENDS_WITH_PARENT, OWN_PROCESSES, start } from "../program";

/** The folder of the root that all machines share. It is next to the cloud's other files. */
export const ROOT_FOLDER = join(__dirname, "..", "..", ".cloud", "root");

const RECIPE = join(__dirname, "root.sh");

/**
 * Makes the root unless it exists. A lock lets one program at a time make it. The last step writes the hash of the recipe,
 * so that an interrupted making and another recipe's root are made again.
 */
const SCRIPT = `
recipe=$1 folder=$2 hash=$3
shift 3
exec 9>"$folder/lock"
flock 9
[ "$(cat "$folder/made" 2>/dev/null)" = "$hash" ] && exit
rm -rf "$folder/made" "$folder/files"
sh "$recipe" "$folder/files" "$@" 9>&-
echo "$hash" >"$folder/made"
`;

/** A command prefix. The programs and their mounts end with this process, also by a crash. */
const ENDS_COMPLETELY = [...ENDS_WITH_PARENT, ...OWN_PROCESSES];

/** Whether the root of the current recipe exists. */
export function isRootInstalled(folder: string = ROOT_FOLDER, recipe: string = RECIPE): boolean {
  const made = join(folder, "made");
  return existsSync(made) && readFileSync(made, "utf8").trim() === hashOf(recipe);
}

/**
 * Makes the root of all machines, a small Debian, unless it exists. It takes about a minute. The packages come from
 * CLOUD_DEBIAN_MIRROR, otherwise from the Debian mirror that apt uses on this machine, otherwise from Debian.
 * @param log - receives a line if the root must be made
 * @param folder - the folder of the root @default {@link ROOT_FOLDER}
 * @param recipe - the path of the script that makes it @default root.sh
 * @returns the path of the root
 * @throws UserError if the mirror cannot be reached, or a package cannot be installed
 */
export async function installRoot(
  log: (line: string) => void,
  folder: string = ROOT_FOLDER,
  recipe: string = RECIPE,
): Promise<string> {
  const files = join(folder, "files");
  if (isRootInstalled(folder, recipe)) return files;
  log(
    "The machines' root is made from Debian's packages, once. It takes about a minute, and longer with a slow network.",
  );
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const mirror = process.env.CLOUD_DEBIAN_MIRROR ?? (await aptMirror());
  const command = [...ENDS_COMPLETELY, "sh", "-ec", SCRIPT, "sh", recipe, folder, hashOf(recipe)];
  const env = { ...process.env, ...(await aptProxies()) };
  const { status, output } = await start([...command, ...(mirror ? [mirror] : [])], { env }).ended;
  if (status === 0) return files;
  const lines = output.trim().split("\n");
  const reason = lines.findLast((line) => /^(E|W): /.test(line)) ?? lines.at(-1);
  throw new UserError(
    `the machines' root cannot be made from ${mirror ?? "Debian's packages"}: ${reason?.replace(/^[EW]: /, "")}; CLOUD_DEBIAN_MIRROR sets another mirror of Debian`,
  );
}

function hashOf(recipe: string): string {
  return createHash("sha256").update(readFileSync(recipe)).digest("hex");
}

/** The URL of the Debian mirror from which apt installs packages on this machine; undefined if it uses none, as on Ubuntu. */
async function aptMirror(): Promise<string | undefined> {
  const targets = await outputOfApt("apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)'");
  // Before `apt-get update`, apt knows no origin, and the path must do.
  const found = /^Debian Debian main (\S+?)\/?$/m.exec(targets) ?? / main (\S+\/debian)\/?$/m.exec(targets);
  return found?.[1];
}

/** The proxies in apt's configuration, as environment variables, which debootstrap's programs read. */
async function aptProxies(): Promise<Record<string, string>> {
  const output = await outputOfApt("apt-config dump --format '%f %v%n'");
  const proxies = output.matchAll(/^Acquire::(https?)::proxy (?!DIRECT)(\S+)$/gim);
  return Object.fromEntries(
    [...proxies].map(([, scheme, proxy]) => [`${scheme?.toLowerCase()}_proxy`, proxy as string]),
  );
}

/** The output of a command of apt; empty on a machine without apt. */
async function outputOfApt(command: string): Promise<string> {
  const { status, output } = await start(["sh", "-c", command]).ended;
  return status === 0 ? output : "";
}
