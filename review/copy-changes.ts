import { NODE_HOME } from "../model/layout";
import type { Arguments, Configuration } from "./arguments";
import type { CopyChange } from "./changes";
import { otherFiles } from "./own-files";
import { type CopiedFile, machineOf, readDistribution } from "./provisioners";
import { type Configurations, machinesOf, ownerOf, siblingsOf, withoutNames } from "./siblings";
import { stepOf } from "./steps";

type Files = ReadonlyMap<string, CopiedFile>;

/**
 * The changes of the files that are copied to machines. The copy of a new machine is compared with that of a machine of the
 * same role, so an ordinary new machine has no changes.
 */
export function copyChanges(before: Configuration, after: Configuration): CopyChange[] {
  // The copies of a first cluster have nothing to be compared with.
  if (machinesOf(before).size === 0) return [];
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((address) => address.startsWith("null_resource."))
    .sort()
    .flatMap((address) => changesOf(address, { before, after }));
}

function changesOf(address: string, { before, after }: Configurations): CopyChange[] {
  const [one, other] = [before.get(address), after.get(address)];
  const [machineBefore, machineAfter] = [machineOf(one ?? new Map(), before), machineOf(other ?? new Map(), after)];
  // The destruction of the machine, and a foreign host, are findings of their own.
  if (other === undefined ? !after.has(machineBefore ?? "") : one === undefined && machineAfter === undefined)
    return [];
  const filesAfter = copiedFiles(other);
  // Other provisioners are reported as commands.
  if (filesAfter === undefined) return [];
  if (one !== undefined && machineAfter !== undefined && machineAfter !== machineBefore) {
    return [...filesAfter.keys()].sort().map((file) => ({ address, file, change: "sent to another machine" }));
  }
  const filesBefore = one === undefined ? siblingFiles(address, machineAfter, { before, after }) : copiedFiles(one);
  if (filesBefore === undefined) return [];
  const isOwn = { before: installedFiles(address, before), after: installedFiles(address, after) };
  return differences(address, filesBefore, filesAfter).filter(({ file, change }) => {
    if (change === "added") return !isOwn.after(file);
    if (change === "no longer copied") return !isOwn.before(file) || isInstalling(after);
    return !(change === "source changed" && isOwn.after(file) && (one === undefined || isOwn.before(file)));
  });
}

/**
 * A test of whether a file is one of this project's installation of Kubernetes, with a content that it has for the machine. The
 * page does not list such files, because other parts of it have what changes for the programs that read them.
 */
function installedFiles(address: string, configuration: Configuration): (file: string) => boolean {
  const others = otherFiles(address, configuration);
  return (file) => !file.startsWith(`${NODE_HOME}/`) && !others.includes(file);
}

/** Whether a configuration installs Kubernetes on any machine. */
function isInstalling(configuration: Configuration): boolean {
  return [...configuration.keys()].some((address) => stepOf(address)?.kind === "kubernetes");
}

function differences(address: string, before: Files, after: Files): CopyChange[] {
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((file): CopyChange[] => {
    const [one, other] = [before.get(file), after.get(file)];
    if (one === undefined) return [{ address, file, change: "added" }];
    if (other === undefined) return [{ address, file, change: "no longer copied" }];
    if (one.mode !== other.mode) return [{ address, file, change: "mode changed" }];
    if (one.owner !== other.owner) return [{ address, file, change: "owner changed" }];
    return one.content === other.content ? [] : [{ address, file, change: "source changed" }];
  });
}

/** The files of a copy: none without a copy, undefined if the provisioners are not those of a distribution. */
function copiedFiles(copy: Arguments = new Map()): Files | undefined {
  return [...copy.keys()].some((path) => path.startsWith("provisioner")) ? readDistribution(copy)?.files : new Map();
}

/**
 * The files that a new copy has if it equals that of a sibling. A file whose place and source are equal, except for the
 * machine's names, has the new copy's own path and source. None if the copy does not go to the machine of its name.
 */
function siblingFiles(address: string, machine: string | undefined, configurations: Configurations): Files {
  const { after } = configurations;
  const owner = ownerOf(address, after);
  const [sibling = ""] = siblingsOf(address, configurations);
  const other = ownerOf(sibling, after);
  if (owner === undefined || other === undefined || owner.address !== machine) return new Map();
  const own = [...(copiedFiles(after.get(address)) ?? [])];
  return new Map(
    [...(copiedFiles(after.get(sibling)) ?? [])].map(([path, file]) => {
      const place = withoutNames(path, other);
      const content = withoutNames(String(file.content), other);
      const [ownPath, ownFile] = own.find(([each]) => withoutNames(each, owner) === place) ?? [];
      const isEqual = ownFile !== undefined && withoutNames(String(ownFile.content), owner) === content;
      return [ownPath ?? path, { ...file, content: isEqual ? ownFile.content : file.content }];
    }),
  );
}
