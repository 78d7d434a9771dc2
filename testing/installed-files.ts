import { TUTORIAL_NAME } from "./tutorial";

/**
 * The certificates, keys and configs of a machine on which the apply installs Kubernetes: the path in a credentials folder, the
 * path on the machine, mode, owner and readers. They are written by hand, to compare `model/layout.ts` with.
 * @param id - `master-0`, `worker-0` and so on
 */
export function installedFiles(id: string): readonly InstalledFile[] {
  const own = `${TUTORIAL_NAME}-${id}`;
  const text = id.startsWith("master") ? MASTER : WORKER;
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [source, path, mode, owner, ...readBy] = line.replaceAll("OWN", own).trim().split(/ +/);
      return { source, path, mode, owner, readBy: readBy.filter((reader) => reader !== "-") } as InstalledFile;
    });
}

/** A row of {@link installedFiles}. */
export interface InstalledFile {
  readonly source: string;
  readonly path: string;
  readonly mode: string;
  readonly owner: string;
  readonly readBy: readonly string[];
}

const MASTER = `
ca-authority/ca.pem                            /var/lib/kubernetes/ca.pem                             0644 root                    kube-apiserver kube-controller-manager
ca-authority/ca.pem                            /etc/etcd/ca.pem                                       0644 root                    etcd
ca-authority/ca-key.pem                        /var/lib/kubernetes/ca-key.pem                         0600 kube-controller-manager kube-controller-manager
ca-authority/service-account.pem               /var/lib/kubernetes/service-account.pem                0644 root                    kube-apiserver
ca-authority/service-account-key.pem           /var/lib/kubernetes/service-account-key.pem            0600 kube-apiserver          kube-apiserver kube-controller-manager
ca-authority/master-kubernetes.pem             /var/lib/kubernetes/master-kubernetes.pem              0644 root                    kube-apiserver
ca-authority/master-kubernetes.pem             /etc/etcd/master-kubernetes.pem                        0644 root                    etcd
ca-authority/master-kubernetes-key.pem         /var/lib/kubernetes/master-kubernetes-key.pem          0600 kube-apiserver          kube-apiserver
ca-authority/master-kubernetes-key.pem         /etc/etcd/master-kubernetes-key.pem                    0600 etcd                    etcd
kubeconfigs/admin.kubeconfig                   /var/lib/kubernetes/admin.kubeconfig                   0600 root                    -
kubeconfigs/kube-controller-manager.kubeconfig /var/lib/kubernetes/kube-controller-manager.kubeconfig 0600 kube-controller-manager kube-controller-manager
kubeconfigs/kube-scheduler.kubeconfig          /var/lib/kubernetes/kube-scheduler.kubeconfig          0600 kube-scheduler          kube-scheduler
encryption-config.yaml                         /var/lib/kubernetes/encryption-config.yaml             0600 kube-apiserver          kube-apiserver
ca-authority/front-proxy-ca.pem                /var/lib/kubernetes/front-proxy-ca.pem                 0644 root                    kube-apiserver
ca-authority/front-proxy-client.pem            /var/lib/kubernetes/front-proxy-client.pem             0644 root                    kube-apiserver
ca-authority/front-proxy-client-key.pem        /var/lib/kubernetes/front-proxy-client-key.pem         0600 kube-apiserver          kube-apiserver
`;

const WORKER = `
ca-authority/ca.pem               /var/lib/kubernetes/ca.pem       0644 root kubelet
ca-authority/OWN.pem              /var/lib/kubelet/OWN.pem         0644 root kubelet
ca-authority/OWN-key.pem          /var/lib/kubelet/OWN-key.pem     0600 root kubelet
kubeconfigs/kube-proxy.kubeconfig /var/lib/kube-proxy/kubeconfig   0600 root kube-proxy
kubeconfigs/OWN.kubeconfig        /var/lib/kubelet/kubeconfig      0600 root kubelet
`;
