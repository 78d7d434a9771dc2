import { npmRun } from "../model/commands";
import type { NodeFacts } from "../model/identities";
import { type FileSource, NODE_HOME as HOME, liveFiles, nodeFiles } from "../model/layout";
import { NODE_USER } from "../model/names";
import { type DescribedCluster, ENCRYPTION_CONFIG, kubeconfigPath, pairPaths } from "./files";

/** A place of a file on a machine. */
export interface Place {
  /** The path on the machine. */
  readonly place: string;
  /** The mode with which the apply copies the file. */
  readonly mode: number;
  /** Whether a mode that allows less is a problem too, because a program could not read the file. */
  readonly isExact: boolean;
  /** The users to whom the file may belong. */
  readonly owners: readonly string[];
}

/** A file that a machine may have. It has it if it is in one of the places. */
export interface MachineFile {
  /** Its path in a credentials folder. */
  readonly path: string;
  /** In the order in which the check looks for a file to compare others with. */
  readonly places: readonly Place[];
  /** The machines that lack the file if it is not there: all, those whose peers have it, or none. */
  readonly needed: "always" | "like-peers" | "never";
  /** The place that a missing file is reported for, and the problem. */
  readonly missing: { readonly place: string; readonly problem: string };
  /** The problem of a file that differs from the folder's. */
  readonly different: string;
}

const DIFFERENT = "differs from the credentials folder";

/** The files of a machine. All machines of a role have the same order. */
export function machineFiles(cluster: DescribedCluster, node: NodeFacts): readonly MachineFile[] {
  return cluster.kubernetes ? installedFiles(node) : copiedFiles(node);
}

/** The files of a machine on which the apply installs Kubernetes. */
function installedFiles(node: NodeFacts): MachineFile[] {
  return liveFiles(node).map(({ source, path: place, mode, owner }) => ({
    path: pathOf(source),
    places: [{ place, mode: Number.parseInt(mode, 8), isExact: true, owners: [owner] }],
    needed: "always",
    missing: { place, problem: `is missing: apply with -replace=null_resource.pems-${node.id}` },
    different: differenceOf(source),
  }));
}

/** The files that the apply or a person copies to the home folder of a machine, and that part 2 moves from there. */
function copiedFiles(node: NodeFacts): MachineFile[] {
  return nodeFiles(node).map(({ source, fileName, mode, setting, places }) => {
    const at = (place: string, owners: readonly string[]) => ({
      place,
      mode: Number.parseInt(mode, 8),
      isExact: false,
      owners,
    });
    const home = `${HOME}/${fileName}`;
    const hint = setting === undefined ? "" : "; other machines have it: see docs/part-2.md";
    return {
      path: pathOf(source),
      places: [...places.map((place) => at(place, [NODE_USER, "root"])), at(home, [NODE_USER])],
      // A file that part 2 does not move is for a person, who may want it on only one machine.
      needed: setting === undefined ? "always" : places.length > 0 ? "like-peers" : "never",
      missing: { place: home, problem: `is missing here and where part 2 puts it (${places.join(", ")})${hint}` },
      different:
        source.kind === "kubeconfig"
          ? `${DIFFERENT}: copy the folder's file to the machine, or run \`${npmRun("credentials")}\` again (docs/part-2.md)`
          : differenceOf(source),
    };
  });
}

function differenceOf({ kind }: FileSource): string {
  return kind === "encryption-config"
    ? // The machine's file may contain the only copy of a key. Without this key, the secrets that it encrypted are lost.
      `${DIFFERENT}: keep it, and see 'Another key for secrets' in docs/certificates.md`
    : `${DIFFERENT}: apply again, or run \`${npmRun("credentials")}\` again`;
}

/** The path of a machine's file in a credentials folder. */
function pathOf(source: FileSource): string {
  if (source.kind === "encryption-config") return ENCRYPTION_CONFIG;
  if (source.kind === "kubeconfig") return kubeconfigPath(source.identity);
  return pairPaths(source.identity)[source.kind === "certificate" ? 0 : 1];
}
