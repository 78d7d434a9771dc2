import { Resource } from "@cdktf/provider-null/lib/resource";
import { Fn, type ITerraformDependable, type SSHProvisionerConnection } from "cdktf";
import { Construct } from "constructs";
import {
  BUNDLE,
  bundleEnd,
  type DistributedFile,
  distributionScript,
  isReserved,
  SCRIPT_PATH,
  STAGING_SCRIPT,
  STAGING_SCRIPT_PATH,
  USER_NAME,
} from "../model/distribution";
import { type Limit, mustBe } from "../model/formats";
import { NODE_USER } from "../model/names";
import { assertLiteral } from "./assertions";
import type { ClusterNode } from "./node-fleet";
import type { SshKey } from "./ssh-key";

/** A file to copy to a machine. */
export interface FileToDistribute extends DistributedFile {
  /** The content of the file: text in Unicode's composed form (NFC). Terraform would change other text. */
  readonly content: string;
  /**
   * A text that changes when the content changes. It must not be secret: the plan contains a hash of it.
   * @default - none: the file changes only together with another file of the set, such as a key with its certificate
   */
  readonly version?: string;
}

/** Properties of a {@link FileDistribution}. */
export interface FileDistributionProps {
  /** The machine. The connection uses its public address. */
  readonly node: ClusterNode;
  /** The key for the ssh connection. */
  readonly sshKey: SshKey;
  /** The files to copy. */
  readonly files: readonly FileToDistribute[];
  /**
   * Commands that run as root after all files are in place, in a shell of their own with `set -eu`. They must not contain a
   * secret. They run again if they change. The next copy to the machine waits up to 120 seconds for them.
   * @default - none
   */
  readonly activate?: readonly string[];
  /**
   * Folders that are made before the files are copied, with their parents: root's, mode 0755. Absolute paths.
   * @default - none: the files' folders exist
   */
  readonly folders?: readonly string[];
  /**
   * The values at whose change all is copied again, by name, beside the machine. They must not be secret: the plan contains them.
   * @default - `files`: the {@link fingerprint} of the files, folders and commands
   */
  readonly triggers?: Readonly<Record<string, string>>;
  /** Elements that must exist before the files are copied. @default - the machine and the elements in the files' contents */
  readonly dependsOn?: readonly ITerraformDependable[];
  /** Time limit for establishing one connection, in Terraform's format. @default "5m" */
  readonly connectionTimeout?: string;
}

/** An absolute path that a shell reads correctly without quotes. */
const FILE_PATH: Limit = {
  allowed: "an absolute path of letters, digits, dots, underscores, hyphens and slashes, without . and .. as names",
  pattern: /^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/,
  holds: (value) => typeof value === "string",
};

const FILE_MODE: Limit = { allowed: "0600, 0644 or 0755", pattern: /^0(600|644|755)$/ };

const FILE_OWNER: Limit = { allowed: "the name of a user", pattern: USER_NAME };

/**
 * A set of files on one machine, copied over ssh with three connections. The first creates a staging folder that no other
 * user can enter. The second uploads one bundle with all contents. The third runs a script that moves all files into place.
 * If it fails, the previous files stay in place. The files' folders must exist, or be in `folders`, and other users must not be
 * able to write to them. All files are copied again if the machine was replaced, a version, a command or a trigger changed, or
 * the last copy failed. The script does not contain the files' contents.
 *
 * Two sets on one machine must not be copied at the same time, because they use the same staging folder: the second needs
 * `dependsOn: [first.completed]`. A copy waits for the script of an apply that was killed, which still runs on the machine.
 *
 * @throws Error if a path, mode or owner is not allowed, if the copy itself uses a path, if a path occurs twice, or if
 *   Terraform would change a content
 */
export class FileDistribution extends Construct {
  /** The copy, as a dependency of elements that need the files in place. */
  readonly completed: ITerraformDependable;
  /** The id of the copy, which changes with each copy. */
  readonly copyId: string;

  constructor(scope: Construct, id: string, props: FileDistributionProps) {
    super(scope, id);
    const { node, sshKey, files } = props;
    props.folders?.forEach((folder, index) => {
      assertLiteral(`folders[${index}]`, FILE_PATH, folder);
    });
    files.forEach(({ path, content, mode, owner }, index) => {
      assertLiteral(`files[${index}].path`, FILE_PATH, path);
      assertLiteral(`files[${index}].mode`, FILE_MODE, mode);
      assertLiteral(`files[${index}].owner`, FILE_OWNER, owner);
      const changed = firstChanged(content);
      if (changed !== undefined) {
        throw new Error(mustBe(`files[${index}].content`, "text in Unicode's composed form (NFC)", changed));
      }
      if (isReserved(path)) {
        throw new Error(mustBe(`files[${index}].path`, "a path that the copy itself does not use", path));
      }
      if (files.findIndex((file) => file.path === path) < index) {
        throw new Error(mustBe(`files[${index}].path`, "different from the paths before it", path));
      }
    });

    const connection: SSHProvisionerConnection = {
      type: "ssh",
      user: NODE_USER,
      host: node.publicIp,
      privateKey: sshKey.privateKeyPem,
      // sshd disconnects after a few wrong keys, so an agent with many keys would fail before it tries the right one.
      agent: "false",
      scriptPath: SCRIPT_PATH,
      timeout: props.connectionTimeout ?? "5m",
    };
    const copy = new Resource(this, id, {
      triggers: {
        machine: node.instance.id,
        ...(props.triggers ?? { files: fingerprint(props) }),
      },
      connection,
      provisioners: [
        {
          type: "remote-exec",
          // Terraform takes the missing values from the resource's connection.
          connection: { type: "ssh", host: node.publicIp, scriptPath: STAGING_SCRIPT_PATH },
          inline: [...STAGING_SCRIPT],
        },
        {
          type: "file",
          content: [...files.map(({ content }) => Fn.base64encode(literal(content))), bundleEnd(files), ""].join("\n"),
          destination: BUNDLE,
        },
        { type: "remote-exec", inline: distributionScript(files, props.activate, props.folders) },
      ],
      dependsOn: props.dependsOn && [...props.dependsOn],
    });
    this.completed = copy;
    this.copyId = copy.id;
  }
}

/** The first characters of a text that Terraform would change; undefined if there are none. */
function firstChanged(text: string): string | undefined {
  const [characters, composed] = [[...text], [...text.normalize("NFC")]];
  const index = characters.findIndex((each, at) => /\p{Surrogate}/u.test(each) || each !== composed[at]);
  return index === -1 ? undefined : characters.slice(index, index + 2).join("");
}

/** A token of cdktf in a text. */
const TOKEN = /(\$\{TfToken\[[^\]]+\]\})/;

/**
 * A Terraform expression for a text with tokens. `Fn.rawString` escapes quotes, newlines and `${` between the tokens, but
 * neither backslashes, carriage returns nor `%{` (https://developer.hashicorp.com/terraform/language/expressions/strings).
 */
function literal(text: string): string {
  const parts = text.split(TOKEN).filter((part) => part !== "");
  const values = parts.map((part) =>
    TOKEN.test(part)
      ? part
      : Fn.rawString(part.replaceAll("\\", "\\\\").replaceAll("\r", "\\r").replaceAll("%{", "%%{")),
  );
  const [first = "", ...others] = values;
  return others.length === 0 ? first : Fn.join("", values);
}

/**
 * A hash of the files' paths, modes, owners and versions, and of the folders and commands. It does not depend on a content, which
 * may be secret.
 */
export function fingerprint(props: Pick<FileDistributionProps, "files" | "folders" | "activate">): string {
  const { files, folders = [], activate = [] } = props;
  return Fn.sha256(Fn.join("\n", [...files.flatMap(fileValues), ...folders, ...activate.map(literal)]));
}

/** The values of a file in a {@link fingerprint}. */
function fileValues({ path, mode, owner, version }: FileToDistribute): string[] {
  const place = `${mode} ${path}${owner === NODE_USER ? "" : ` ${owner}`}`;
  return [place, ...(version === undefined ? [] : [literal(version)])];
}
