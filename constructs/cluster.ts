import { Fn } from "cdktf";
import { Construct } from "constructs";
import { encryptionConfig } from "../kubernetes/encryption-config";
import { apiServer, type KubeconfigUser, kubeconfig, kubeconfigUsers } from "../kubernetes/kubeconfig";
import { hostAddress, NODE_POD_PREFIX, subnetwork } from "../model/addressing";
import { type ClusterFacts, serverNames } from "../model/identities";
import { NODE_HOME, type NodeFile, nodeFiles } from "../model/layout";
import type { PkiLifetimes } from "../model/lifetimes";
import { NODE_USER } from "../model/names";
import { API_SERVER_PORT } from "../model/ports";
import type { Access } from "../model/security-rules";
import { ClusterNetwork, type ClusterSubnetProps } from "./cluster-network";
import { ClusterPki, type PkiSubject } from "./cluster-pki";
import { ClusterSecurityGroups } from "./cluster-security-groups";
import { ControlPlaneNlb } from "./control-plane-nlb";
import { EncryptionKey } from "./encryption-key";
import { FileDistribution, type FileToDistribute } from "./file-distribution";
import { installKubernetes, type KubernetesProps } from "./kubernetes";
import { type ClusterNode, NodeFleet, type NodeFleetProps } from "./node-fleet";
import { PodRoutes } from "./pod-routes";
import { SshKey } from "./ssh-key";
import { UbuntuImage, type UbuntuImageProps } from "./ubuntu-image";

/** The host number of cluster DNS in the service network, as kubeadm has it. */
const DNS_HOST_NUMBER = 10;

/** The machines of one role. */
export type MachinesProps = Pick<NodeFleetProps, "count" | "firstHostNumber" | "instanceType" | "rootVolume">;

/** Properties of a {@link Cluster}. */
export interface ClusterProps {
  /** The name of the cluster, load balancer, target group, security group and key pair, and a part of every Name tag. */
  readonly name: string;
  /** The AWS region. */
  readonly region: string;
  /** The VPC's CIDR and its subnets. Their order is a contract: machines are assigned to subnets by position. */
  readonly network: { readonly cidrBlock: string; readonly subnets: readonly ClusterSubnetProps[] };
  /** The CIDR of the pods: worker i gets its i-th /24. If `routed` is true, there is a route to each /24. */
  readonly podNetwork: { readonly cidrBlock: string; readonly routed: boolean };
  /** The CIDR of the services. The API server's certificate contains its first address. */
  readonly serviceNetwork: { readonly cidrBlock: string };
  /** The control plane machines. */
  readonly controlPlane: MachinesProps;
  /** The workers. */
  readonly workers: MachinesProps;
  /** Optional files that are copied to the machines. */
  readonly copies: { readonly kubeconfigs: boolean; readonly encryptionConfig: boolean };
  /** The image: an id, or the properties of a lookup. */
  readonly image: Omit<UbuntuImageProps, "region"> & { readonly id?: string };
  /** CIDRs that may connect from outside. */
  readonly access: Access;
  /** Subject and lifetimes of the certificates. */
  readonly pki: PkiLifetimes & { readonly subject: PkiSubject };
  /**
   * The installation of Kubernetes. The files of the machines are then in the places from which programs read them, and
   * `copies` has no effect.
   * @default - none: the certificates are copied to the home folders of the machines
   */
  readonly kubernetes?: KubernetesProps;
}

/**
 * A Kubernetes cluster on AWS: network, load balancer, machines, certificates, the copies of certificates on the machines, and
 * with `kubernetes` the programs that run on them.
 *
 * @throws Error if a construct in the cluster refuses its properties
 */
export class Cluster extends Construct {
  /** VPC, subnets and routes. */
  readonly network: ClusterNetwork;
  /** The security group of the machines and its rules. */
  readonly securityGroups: ClusterSecurityGroups;
  /** The load balancer in front of the API servers. */
  readonly nlb: ControlPlaneNlb;
  /** The control plane machines, by index. */
  readonly controlPlane: readonly ClusterNode[];
  /** The workers, by index. */
  readonly workers: readonly ClusterNode[];
  /** The CA and the certificates that it signs. */
  readonly pki: ClusterPki;
  /** The key pair of all machines. */
  readonly sshKey: SshKey;
  /** The key for secrets in etcd. */
  readonly encryptionKey: EncryptionKey;
  /** The facts of the cluster that certificates and kubeconfigs contain. */
  readonly facts: ClusterFacts;
  /** The address at which pods reach the API servers, the first of the service network. */
  readonly serviceAddress: string;

  constructor(scope: Construct, id: string, props: ClusterProps) {
    super(scope, id);
    const { name: clusterName, region, access, podNetwork } = props;

    const network = new ClusterNetwork(this, "network", {
      clusterName,
      region,
      cidrBlock: props.network.cidrBlock,
      subnets: props.network.subnets,
    });
    const securityGroups = new ClusterSecurityGroups(this, "security", {
      clusterName,
      network,
      access,
      apiServerPort: API_SERVER_PORT,
      podCidrBlock: podNetwork.routed ? podNetwork.cidrBlock : undefined,
    });
    const sshKey = new SshKey(this, "ssh", { clusterName });
    const machines = { clusterName, network, securityGroups, sshKey, imageId: this.imageId(props) };
    const podCidr = (index: number) => subnetwork(podNetwork.cidrBlock, NODE_POD_PREFIX, index);
    const masters = new NodeFleet(this, "masters", {
      ...machines,
      ...props.controlPlane,
      role: "master",
      userData: (index) => `name=master-${index}`,
    }).nodes;
    const workers = new NodeFleet(this, "workers", {
      ...machines,
      ...props.workers,
      role: "worker",
      userData: (index) => `name=worker-${index}|pod-cidr=${podCidr(index)}`,
    }).nodes.map((node, index) => ({ ...node, podCidr: podCidr(index) }));
    network.reserve([...masters, ...workers].map((node) => node.privateIp));
    if (podNetwork.routed) {
      const podNetworks = workers.map((node, index) => ({ node, cidrBlock: podCidr(index) }));
      new PodRoutes(this, "pod-routes", { network, podNetworks });
    }

    const nlb = new ControlPlaneNlb(this, "control-plane", {
      clusterName,
      network,
      securityGroups,
      targetAddresses: masters.map((node) => node.privateIp),
      // An API server that listens without etcd is not ready.
      healthPath: props.kubernetes && "/readyz",
    });
    securityGroups.admitThroughLoadBalancer(
      Object.fromEntries([...masters, ...workers].map((node) => [node.id, node.publicIp])),
    );

    this.serviceAddress = hostAddress(props.serviceNetwork.cidrBlock, 1);
    this.facts = {
      region,
      publicAddress: nlb.dnsName,
      serviceAddress: this.serviceAddress,
      nodes: [...masters, ...workers],
    };
    const pki = new ClusterPki(this, "pki", {
      ...serverNames(this.facts),
      subject: props.pki.subject,
      lifetimes: props.pki,
      frontProxy: props.kubernetes !== undefined,
    });
    this.encryptionKey = new EncryptionKey(this, "encryption");
    this.network = network;
    this.securityGroups = securityGroups;
    this.sshKey = sshKey;
    this.controlPlane = masters;
    this.workers = workers;
    this.nlb = nlb;
    this.pki = pki;
    if (props.kubernetes === undefined) this.addCopies(props);
    else this.addKubernetes(props, props.kubernetes);
  }

  /** All machines: the control plane's, then the workers. */
  get nodes(): readonly ClusterNode[] {
    return [...this.controlPlane, ...this.workers];
  }

  private addCopies(props: ClusterProps): void {
    const content = this.contents(props);
    for (const node of this.nodes) {
      const files = nodeFiles(node)
        .filter(({ setting }) => setting === undefined || props.copies[setting])
        .map((file): FileToDistribute => {
          const { fileName, mode } = file;
          return { path: `${NODE_HOME}/${fileName}`, mode, owner: NODE_USER, ...content(file) };
        });
      new FileDistribution(this, `pems-${node.id}`, { node, sshKey: this.sshKey, files });
    }
  }

  private addKubernetes(props: ClusterProps, kubernetes: KubernetesProps): void {
    const { name: clusterName, serviceNetwork, podNetwork } = props;
    installKubernetes(this, {
      ...kubernetes,
      clusterName,
      cluster: {
        ...this.facts,
        serviceNetwork: serviceNetwork.cidrBlock,
        dnsAddress: hostAddress(serviceNetwork.cidrBlock, DNS_HOST_NUMBER),
        podNetwork: podNetwork.cidrBlock,
      },
      nodes: this.nodes,
      sshKey: this.sshKey,
      content: this.contents(props),
    });
  }

  /** A function that returns the content of a file of a machine, and a text that changes with it. */
  private contents({ name: clusterName }: ClusterProps) {
    const users = kubeconfigUsers(this.nlb.dnsName, serverNames(this.facts));
    return ({ source }: Pick<NodeFile, "source">): Pick<FileToDistribute, "content" | "version"> => {
      if (source.kind === "encryption-config") {
        return { content: encryptionConfig(this.encryptionKey), version: this.encryptionKey.publicKeyPem };
      }
      if (source.kind === "certificate") {
        const { certificatePem } = this.pki.pair(source.identity);
        return { content: certificatePem, version: certificatePem };
      }
      // A private key never changes without its certificate.
      if (source.kind === "key") return { content: this.pki.pair(source.identity).privateKeyPem };
      const user = users.find(({ fileName }) => fileName === source.identity);
      if (user === undefined) throw new Error(`no identity with a kubeconfig has the file name ${source.identity}`);
      return kubeconfigOf(clusterName, this.pki, user);
    };
  }

  private imageId({ region, image: { id, ...lookup } }: ClusterProps): string {
    return id ?? new UbuntuImage(this, "image", { region, ...lookup }).imageId;
  }
}

/** A user's kubeconfig, with certificates and key as Terraform expressions. */
function kubeconfigOf(clusterName: string, pki: ClusterPki, { fileName, user, host }: KubeconfigUser) {
  const { certificatePem, privateKeyPem } = pki.pair(fileName);
  return {
    content: kubeconfig({
      clusterName,
      server: apiServer(host),
      user,
      ca: Fn.base64encode(pki.certificateAuthority.certificatePem),
      certificate: Fn.base64encode(certificatePem),
      key: Fn.base64encode(privateKeyPem),
    }),
    // The version does not need the CA's certificate: a new CA also signs a new certificate for the user.
    version: Fn.join("\n", [host, certificatePem]),
  };
}
