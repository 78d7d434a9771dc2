import { posix } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { NullProvider } from "@cdktf/provider-null/lib/provider";
import { TlsProvider } from "@cdktf/provider-tls/lib/provider";
import {
  LocalBackend,
  S3Backend,
  TerraformDataSource,
  TerraformElement,
  TerraformOutput,
  TerraformResource,
  TerraformStack,
} from "cdktf";
import type { Construct } from "constructs";
import { sshKeyPath } from "../model/layout";
import { NODE_USER } from "../model/names";
import { API_SERVER_PORT } from "../model/ports";
import { Cluster, type ClusterProps } from "./cluster";
import type { ClusterNode } from "./node-fleet";

/** The oldest Terraform version: the S3 backend's lock file is no longer experimental since 1.11. */
const TERRAFORM_VERSION = ">= 1.11.0";

/** The project's folder, relative to the folder in which Terraform runs, `cdktf.out/stacks/NAME`. */
const PROJECT_FOLDER = "../../..";

/** Where Terraform stores the state of a {@link ClusterStack}. */
export interface BackendProps {
  /** `local`: a file. `s3`: an object in an S3 bucket. */
  readonly type: "local" | "s3";
  /** local: path of the state file, relative to the project's folder. @default - terraform.NAME.tfstate */
  readonly path?: string;
  /** s3: name of the bucket. Required for S3. */
  readonly bucket?: string;
  /** s3: key of the state object. @default - NAME/terraform.tfstate */
  readonly key?: string;
  /** s3: region of the bucket. @default - the cluster's */
  readonly region?: string;
  /** s3: whether the state object is encrypted. @default true */
  readonly encrypt?: boolean;
  /** s3: whether a lock file in the bucket prevents concurrent runs. @default true */
  readonly useLockfile?: boolean;
}

/** Properties of a {@link ClusterStack}. */
export interface ClusterStackProps extends ClusterProps {
  /**
   * Tags of AWS resources, in addition to `Cluster`, whose value is the cluster's name. Disks get them when their machine is
   * created. After a change, a disk keeps the old values, or loses them if the machine has a `rootVolume`
   * (https://github.com/hashicorp/terraform-provider-aws/issues/38301). The same tags in the machine's block for the root disk
   * would make every plan show a change. Network interfaces get none.
   */
  readonly tags: Readonly<Record<string, string>>;
  /** Where Terraform stores the state. */
  readonly backend: BackendProps;
}

/**
 * A stack with one {@link Cluster}, its backend, providers and outputs. Its Terraform addresses contain no hash.
 * `docs/addresses.md` lists them.
 *
 * @throws Error during synthesis if two elements of the same type would have the same address
 */
export class ClusterStack extends TerraformStack {
  /** The construct paths of the elements, by Terraform address. */
  private readonly pathByAddress = new Map<string, string>();

  /** The cluster. */
  readonly cluster: Cluster;

  constructor(scope: Construct, id: string, props: ClusterStackProps) {
    super(scope, id);
    const { name: clusterName, region } = props;
    this.addOverride("terraform.required_version", TERRAFORM_VERSION);
    this.addBackend(props);
    new AwsProvider(this, "aws", { region, defaultTags: [{ tags: { ...props.tags, Cluster: clusterName } }] });
    new TlsProvider(this, "tls");
    new NullProvider(this, "null");

    this.cluster = new Cluster(this, "cluster", props);
    this.addOutputs(clusterName, this.cluster);
  }

  /**
   * The construct path below the stack, without the cluster and the first construct in it, joined with hyphens:
   * `cluster/pki/kube-proxy/certificate` is `kube-proxy-certificate`.
   * @throws Error with both paths if another element of the same type has this id
   */
  protected override allocateLogicalId(element: TerraformElement | Construct["node"]): string {
    const node = TerraformElement.isTerraformElement(element) ? element.node : element;
    const scopes = node.scopes.slice(node.scopes.indexOf(this) + 1).filter((scope) => !(scope instanceof Cluster));
    const [first, ...rest] = scopes.map((scope) => scope.node.id);
    const id = rest.length === 0 ? (first ?? "") : rest.join("-");
    if (TerraformElement.isTerraformElement(element)) this.checkUnique(`${elementKind(element)}.${id}`, node.path);
    return id;
  }

  /** Refuses a second element with an address: cdktf would merge both into one resource without an error. */
  private checkUnique(address: string, path: string): void {
    const other = this.pathByAddress.get(address) ?? path;
    if (other !== path) throw new Error(`'${other}' and '${path}' would both have the Terraform address ${address}`);
    this.pathByAddress.set(address, path);
  }

  private addBackend({ name, region, backend }: ClusterStackProps): void {
    if (backend.type === "local") {
      new LocalBackend(this, { path: posix.join(PROJECT_FOLDER, backend.path ?? `terraform.${name}.tfstate`) });
      return;
    }
    new S3Backend(this, {
      bucket: backend.bucket as string,
      key: backend.key ?? `${name}/terraform.tfstate`,
      region: backend.region ?? region,
      encrypt: backend.encrypt ?? true,
    }).addOverride("use_lockfile", backend.useLockfile ?? true);
  }

  private addOutputs(clusterName: string, { nodes, nlb, serviceAddress, sshKey, pki, encryptionKey }: Cluster): void {
    const byName = <T>(value: (node: ClusterNode) => T) =>
      Object.fromEntries(nodes.map((node) => [node.name, value(node)]));
    new TerraformOutput(this, "kubernetes_public_address", {
      description: `The name at which the API servers are reached, port ${API_SERVER_PORT}`,
      value: nlb.dnsName,
    });
    new TerraformOutput(this, "kubernetes_service_address", {
      description: "The address at which pods reach the API servers, the first of the service network",
      value: serviceAddress,
    });
    new TerraformOutput(this, "nodes", {
      description: "Private and public address of every machine, by its Name tag",
      value: byName(({ privateIp, publicIp }) => ({ private_ip: privateIp, public_ip: publicIp })),
    });
    new TerraformOutput(this, "ssh_commands", {
      description: "How to log in to every machine, with ssh_private_key in ssh/",
      value: byName((node) => `ssh -i ${sshKeyPath(clusterName)} ${NODE_USER}@${node.publicIp}`),
    });
    new TerraformOutput(this, "ssh_private_key", {
      description: "The private key for all machines",
      value: sshKey.privateKeyPem,
      sensitive: true,
    });
    new TerraformOutput(this, "pem_files", {
      description: "Every certificate and key, by the name of its file",
      value: pki.files,
      sensitive: true,
    });
    new TerraformOutput(this, "encryption_key", {
      description: "The key with which API servers encrypt secrets in etcd: 32 bytes in base64",
      value: encryptionKey.base64,
      sensitive: true,
    });
  }
}

/** The start of an element's address. Data sources, resources and outputs have separate name spaces. */
function elementKind(element: TerraformElement): string {
  if (element instanceof TerraformDataSource) return `data.${element.terraformResourceType}`;
  if (element instanceof TerraformResource) return element.terraformResourceType;
  return element.constructor.name;
}
