import { Resource } from "@cdktf/provider-null/lib/resource";
import { Fn, type ITerraformDependable, type SSHProvisionerConnection } from "cdktf";
import { Construct } from "constructs";
import {
  BUNDLE,
  BUNDLE_END,
  type DistributedFile,
  distributionScript,
  SCRIPT_PATH,
  STAGING_SCRIPT,
  STAGING_SCRIPT_PATH,
} from "../model/distribution";
import { type Limit, mustBe } from "../model/formats";
import { NODE_USER } from "../model/names";
import { assertLiteral } from "./assertions";
import type { ClusterNode } from "./node-fleet";
import type { SshKey } from "./ssh-key";

/** A file to put onto a machine. */
export interface FileToDistribute extends DistributedFile {
  /** Its content. */
  readonly content: string;
  /**
   * A text that changes when the content changes, and that everybody may see: it is hashed into the plan.
   * @default - none: the file changes only together with another file of the set, as a key does with its certificate
   */
  readonly version?: string;
}

/** Properties of a {@link FileDistribution}. */
export interface FileDistributionProps {
  /** The machine, which is reached at its public address. */
  readonly node: ClusterNode;
  /** The key that opens it. */
  readonly sshKey: SshKey;
  /** The files. */
  readonly files: readonly FileToDistribute[];
  /** Commands that run once all files are in their places; nothing secret. @default - none */
  readonly activate?: readonly string[];
  /** Elements that must exist before the files are copied. @default - the machine and everything in the files */
  readonly dependsOn?: readonly ITerraformDependable[];
  /** How long one connection may take to come about, as Terraform writes durations. @default "5m" */
  readonly connectionTimeout?: string;
}

/** One absolute path, safe in a shell without quotes. */
const FILE_PATH: Limit = {
  allowed: "an absolute path of letters, digits, dots, underscores, hyphens and slashes, without . and .. as names",
  pattern: /^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/,
};

/**
 * A set of files on one machine, copied over ssh with three connections: a staging folder that nobody else can enter;
 * one bundle with all contents; a script that puts all files into their places, or none. Copied again, as a whole, when
 * the machine was replaced, a version changed, or a copy before it failed. The script contains no content.
 *
 * @throws Error on a path that is not plain, or given twice
 */
export class FileDistribution extends Construct {
  /** The copy, for elements that need the files in their places. */
  readonly completed: ITerraformDependable;

  constructor(scope: Construct, id: string, props: FileDistributionProps) {
    super(scope, id);
    const { node, sshKey, files } = props;
    files.forEach(({ path }, index) => {
      assertLiteral(`files[${index}].path`, FILE_PATH, path);
      if (files.findIndex((file) => file.path === path) < index) {
        throw new Error(mustBe(`files[${index}].path`, "different from the paths before it", path));
      }
    });

    const connection: SSHProvisionerConnection = {
      type: "ssh",
      user: NODE_USER,
      host: node.publicIp,
      privateKey: sshKey.privateKeyPem,
      // An agent with many keys is refused before it comes to ours.
      agent: "false",
      scriptPath: SCRIPT_PATH,
      timeout: props.connectionTimeout ?? "5m",
    };
    this.completed = new Resource(this, id, {
      triggers: {
        machine: node.instance.id,
        // No hash of a secret in a plan.
        files: Fn.sha256(Fn.join("\n", files.flatMap(fingerprint))),
      },
      connection,
      provisioners: [
        {
          type: "remote-exec",
          // Terraform takes what is missing here from the connection of the resource.
          connection: { type: "ssh", host: node.publicIp, scriptPath: STAGING_SCRIPT_PATH },
          inline: [...STAGING_SCRIPT],
        },
        {
          type: "file",
          content: [...files.map(({ content }) => base64(content)), BUNDLE_END, ""].join("\n"),
          destination: BUNDLE,
        },
        { type: "remote-exec", inline: distributionScript(files, props.activate) },
      ],
      dependsOn: props.dependsOn && [...props.dependsOn],
    });
  }
}

/** A token in a text, as cdktf writes it. */
const TOKEN = /(\$\{TfToken\[[^\]]+\]\})/;

/** Content in base64, as Terraform's expression. Texts are escaped; tokens, which `Fn.rawString` would escape too, are not. */
function base64(content: string): string {
  const parts = content.split(TOKEN).filter((part) => part !== "");
  const values = parts.map((part) => (TOKEN.test(part) ? part : Fn.rawString(part)));
  const [first = "", ...others] = values;
  return Fn.base64encode(others.length === 0 ? first : Fn.join("", values));
}

/** A file's part of the trigger. */
function fingerprint({ path, mode, owner, version }: FileToDistribute): string[] {
  const place = `${mode} ${path}${owner === NODE_USER ? "" : ` ${owner}`}`;
  return [place, ...(version === undefined ? [] : [version])];
}
