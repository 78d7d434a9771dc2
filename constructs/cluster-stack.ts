import { posix } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { NullProvider } from "@cdktf/provider-null/lib/provider";
import { TlsProvider } from "@cdktf/provider-tls/lib/provider";
import {
  Annotations,
  Fn,
  LocalBackend,
  S3Backend,
  TerraformDataSource,
  TerraformElement,
  TerraformOutput,
  TerraformResource,
  TerraformStack,
} from "cdktf";
import type { Construct } from "constructs";
import { hostAddress, internalDomain, subnetwork } from "./addressing";
import { ANYWHERE, ClusterNetwork } from "./cluster-network";
import { type CertificateAndKey, ClusterPki } from "./cluster-pki";
import { type ClusterSettings, NODE_POD_PREFIX, settingsWarnings } from "./cluster-settings";
import { ControlPlaneNlb } from "./control-plane-nlb";
import { encryptionConfig } from "./encryption-config";
import { EncryptionKey } from "./encryption-key";
import { apiServer, kubeconfig, kubeconfigUsers } from "./kubeconfig";
import { type ClusterNode, NodeFleet } from "./node-fleet";
import { NODE_USER, PemDistribution, type PemFile } from "./pem-distribution";
import { PodRoutes } from "./pod-routes";
import { SshKey } from "./ssh-key";
import { UbuntuImage } from "./ubuntu-image";

/** Terraform from this version on: the S3 backend's lock file came out of its trial with 1.11. */
const TERRAFORM_VERSION = ">= 1.11.0";

/** From the folder in which Terraform runs, `cdktf.out/stacks/NAME`, to the project's. */
const PROJECT_FOLDER = "../../..";

/**
 * A whole cluster, ready for Kubernetes: network, load balancer, machines, certificates and their copies. Its id is
 * the cluster's name. Terraform addresses in it carry no hash: `docs/addresses.md` lists them.
 *
 * @throws Error, when synthesized, where two elements of one type would have the same address
 */
export class ClusterStack extends TerraformStack {
  /** Paths of the elements that have an address, by address. */
  private readonly paths = new Map<string, string>();

  constructor(scope: Construct, settings: ClusterSettings) {
    super(scope, settings.name);
    for (const warning of settingsWarnings(settings)) Annotations.of(this).addWarning(warning);
    const { name: clusterName, region, access, podNetwork } = settings;
    this.addOverride("terraform.required_version", TERRAFORM_VERSION);
    this.addBackend(settings);
    new AwsProvider(this, "aws", { region, defaultTags: [{ tags: { ...settings.tags, Cluster: clusterName } }] });
    new TlsProvider(this, "tls");
    new NullProvider(this, "null");

    const network = new ClusterNetwork(this, "network", {
      clusterName,
      region,
      cidrBlock: settings.network.cidrBlock,
      subnets: settings.network.subnets,
      ingress: access,
      podCidrBlock: podNetwork.routed ? podNetwork.cidrBlock : undefined,
    });
    const sshKey = new SshKey(this, "ssh", { clusterName });
    const machines = { clusterName, network, sshKey, imageId: this.imageId(settings) };
    const podCidr = (index: number) => subnetwork(podNetwork.cidrBlock, NODE_POD_PREFIX, index);
    const masters = new NodeFleet(this, "masters", {
      ...machines,
      ...settings.controlPlane,
      role: "master",
      userData: (index) => `name=master-${index}`,
    }).nodes;
    const workers = new NodeFleet(this, "workers", {
      ...machines,
      ...settings.workers,
      role: "worker",
      userData: (index) => `name=worker-${index}|pod-cidr=${podCidr(index)}`,
    }).nodes;
    const nodes = [...masters, ...workers];
    if (podNetwork.routed) {
      const podNetworks = workers.map((node, index) => ({ node, cidrBlock: podCidr(index) }));
      new PodRoutes(this, "pod-routes", { network, podNetworks });
    }

    const nlb = new ControlPlaneNlb(this, "control-plane", {
      clusterName,
      network,
      targetAddresses: masters.map((node) => node.privateIp),
      clients: access.api.includes(ANYWHERE)
        ? undefined
        : Object.fromEntries(nodes.map((node) => [node.id, node.publicIp])),
    });

    const serviceAddress = hostAddress(settings.serviceNetwork.cidrBlock, 1);
    const pki = new ClusterPki(this, "pki", {
      subject: settings.pki.subject,
      lifetimes: settings.pki,
      apiServer: {
        dnsNames: [
          ...masters.map((node) => node.hostname),
          ...masters.map((node) => `${node.hostname}.${internalDomain(region)}`),
          nlb.dnsName,
        ],
        ipAddresses: [
          ...masters.map((node) => node.privateIp),
          // Pods reach the API server at the first address of the service network, which the tutorial forgets.
          serviceAddress,
        ],
      },
      kubelets: workers.map(({ id, name, hostname, publicIp, privateIp }) => ({
        id,
        name,
        hostname,
        ipAddresses: [publicIp, privateIp],
      })),
    });
    const encryptionKey = new EncryptionKey(this, "encryption");
    const kubeconfigsOf = (...stems: string[]) =>
      settings.copies.kubeconfigs ? kubeconfigFiles(clusterName, { pki, nlb, workers }, stems) : [];
    const encryptionConfigs = settings.copies.encryptionConfig ? [encryptionConfigFile(encryptionKey)] : [];
    for (const node of masters) {
      const kubeconfigs = kubeconfigsOf("admin", "kube-controller-manager", "kube-scheduler");
      this.addCopy(node, sshKey, [...pki.controlPlaneFiles, ...kubeconfigs, ...encryptionConfigs]);
    }
    for (const node of workers) {
      this.addCopy(node, sshKey, [...pki.workerFiles(node.name), ...kubeconfigsOf(node.name, "kube-proxy")]);
    }

    this.addOutputs({ clusterName, serviceAddress, nlb, nodes, sshKey, pki, encryptionKey });
  }

  /**
   * The path below the stack without its first segment, joined with hyphens: `pki/kube-proxy/certificate` is
   * `kube-proxy-certificate`.
   * @throws Error, naming both paths, where another element of the type has the id already
   */
  protected override allocateLogicalId(element: TerraformElement | Construct["node"]): string {
    const node = TerraformElement.isTerraformElement(element) ? element.node : element;
    const [room, ...rest] = node.scopes.slice(node.scopes.indexOf(this) + 1).map((scope) => scope.node.id);
    const id = rest.length === 0 ? (room ?? "") : rest.join("-");
    if (TerraformElement.isTerraformElement(element)) this.claim(`${elementKind(element)}.${id}`, node.path);
    return id;
  }

  /** cdktf merges two elements with one address into one resource and says nothing. */
  private claim(address: string, path: string): void {
    const other = this.paths.get(address) ?? path;
    if (other !== path) throw new Error(`'${other}' and '${path}' would both have the Terraform address ${address}`);
    this.paths.set(address, path);
  }

  private addBackend({ name, region, backend }: ClusterSettings): void {
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

  private imageId({ image: { id, ...lookup } }: ClusterSettings): string {
    return id ?? new UbuntuImage(this, "image", lookup).imageId;
  }

  private addCopy(node: ClusterNode, sshKey: SshKey, files: ClusterPki["files"]): void {
    new PemDistribution(this, `pems-${node.id}`, { node, sshKey, files });
  }

  private addOutputs(of: {
    clusterName: string;
    serviceAddress: string;
    nlb: ControlPlaneNlb;
    nodes: readonly ClusterNode[];
    sshKey: SshKey;
    pki: ClusterPki;
    encryptionKey: EncryptionKey;
  }): void {
    const { clusterName, serviceAddress, nlb, nodes, sshKey, pki, encryptionKey } = of;
    const byName = <T>(value: (node: ClusterNode) => T) =>
      Object.fromEntries(nodes.map((node) => [node.name, value(node)]));
    new TerraformOutput(this, "kubernetes_public_address", {
      description: "The name at which the API servers are reached, port 6443",
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
      value: byName((node) => `ssh -i ssh/${clusterName}.id_rsa ${NODE_USER}@${node.publicIp}`),
    });
    new TerraformOutput(this, "ssh_private_key", {
      description: "The private key for all machines",
      value: sshKey.privateKeyPem,
      sensitive: true,
    });
    new TerraformOutput(this, "pem_files", {
      description: "Every certificate and key, by the name of its file",
      value: Object.fromEntries(pki.files.map((file) => [file.name, file.content])),
      sensitive: true,
    });
    new TerraformOutput(this, "encryption_key", {
      description: "The key with which API servers encrypt secrets in etcd: 32 bytes in base64",
      value: encryptionKey.base64,
      sensitive: true,
    });
  }
}

/** The kubeconfigs of some users, with certificates and keys as Terraform's expressions. */
function kubeconfigFiles(
  clusterName: string,
  { pki, nlb, workers }: { pki: ClusterPki; nlb: ControlPlaneNlb; workers: readonly ClusterNode[] },
  stems: readonly string[],
): PemFile[] {
  const users = kubeconfigUsers(nlb.dnsName, workers).filter(({ stem }) => stems.includes(stem));
  const authority = pki.certificateAuthority.certificatePem;
  return users.map(({ stem, user, host }) => {
    const { certificatePem, privateKeyPem } = pki.certificates[stem] as CertificateAndKey;
    const content = kubeconfig({
      clusterName,
      server: apiServer(host),
      user,
      authority: Fn.base64encode(authority),
      certificate: Fn.base64encode(certificatePem),
      key: Fn.base64encode(privateKeyPem),
    });
    return {
      name: `${stem}.kubeconfig`,
      content,
      secret: true,
      // Another authority signs another certificate.
      version: Fn.join("\n", [host, certificatePem]),
    };
  });
}

function encryptionConfigFile(key: EncryptionKey): PemFile {
  return { name: "encryption-config.yaml", content: encryptionConfig(key), secret: true, version: key.publicKeyPem };
}

/** What an element's address starts with: data sources, resources and outputs have name spaces of their own. */
function elementKind(element: TerraformElement): string {
  if (element instanceof TerraformDataSource) return `data.${element.terraformResourceType}`;
  if (element instanceof TerraformResource) return element.terraformResourceType;
  return element.constructor.name;
}
