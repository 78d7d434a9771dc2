import { type Component, HEADER, unit } from "./component";

/** The folder with a file for each registry that has a mirror. */
const REGISTRIES = "/etc/containerd/certs.d";

/** The folder of CNI's plugins. */
const CNI_PLUGINS = "/opt/cni/bin";

/** The folder of the CNI's configuration. The first file in it, by name, is used. */
const CNI_CONFIG = "/etc/cni/net.d";

/** The pods' network on a worker: a bridge, with an address for each pod from the worker's pod network. */
function network(podCidr: string): string {
  return `${JSON.stringify(
    {
      cniVersion: "1.0.0",
      name: "pods",
      plugins: [
        {
          type: "bridge",
          bridge: "cni0",
          isGateway: true,
          // It would hide the pods' addresses from pods on other machines. The unit pod-masquerade has the rule instead.
          ipMasq: false,
          // A pod reaches itself through its service.
          hairpinMode: true,
          ipam: { type: "host-local", ranges: [[{ subnet: podCidr }]], routes: [{ dst: "0.0.0.0/0" }] },
        },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    },
    null,
    2,
  )}\n`;
}

const FACTS = {
  name: "containerd",
  role: "worker",
  description: "containerd",
  user: "root",
  ports: [],
} as const;

/** The container runtime on each worker, with the configuration of the pods' network. */
export const containerd: Component = {
  ...FACTS,
  files: ({ images, registryMirrors }, { podCidr = "" }) => [
    unit(FACTS, {
      program: "/usr/local/bin/containerd",
      // As in containerd's own unit. KillMode: containers outlive a restart.
      service: [
        "Type=notify",
        "Delegate=yes",
        "KillMode=process",
        "LimitNOFILE=infinity",
        "LimitNPROC=infinity",
        "LimitCORE=infinity",
        "TasksMax=infinity",
        "OOMScoreAdjust=-999",
      ],
      flags: {},
    }),
    {
      path: "/etc/containerd/config.toml",
      content: `${HEADER}
version = 3
# Without the kubelet's interface, containerd ends, and its unit starts it again.
required_plugins = ['io.containerd.grpc.v1.cri']
imports = ['/etc/containerd/conf.d/*.toml']

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${images.pause}'

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '${REGISTRIES}'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['${CNI_PLUGINS}']
  conf_dir = '${CNI_CONFIG}'
`,
    },
    ...Object.entries(registryMirrors).map(([registry, mirror]) => ({
      path: `${REGISTRIES}/${registry}/hosts.toml`,
      content: `${HEADER}
server = 'https://${registry}'

[host.'${mirror}']
  capabilities = ['pull', 'resolve']
`,
    })),
    { path: `${CNI_CONFIG}/10-pods.conflist`, content: network(podCidr) },
  ],
};
