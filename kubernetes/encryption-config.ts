/**
 * What `kube-apiserver --encryption-provider-config` reads: secrets are encrypted in etcd; those that were written before
 * are still read. A secret itself.
 * @param key - 32 bytes in base64, and the name that API servers write before what it encrypts: another key needs another
 * @see https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
export function encryptionConfig(key: { readonly name: string; readonly base64: string }): string {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: ${key.name}
        secret: ${key.base64}
  - identity: {}
`;
}
