/** Answers in which the embedded server is known to differ from kube-apiserver, by step, each with the reason. */
const decoder = 'the same status, without the words of the Go decoder';

export const knownDifferences: Readonly<Record<string, string>> = {
  'another kind than the path': decoder,
  'another version than the path': decoder,
  'half an object': decoder,
  'merge of half an object': decoder,
  'merge with a wrong type': decoder,
  'json that is an object': decoder,
  'a wrong type': decoder,
  'a list that is none': decoder,
  'apply what is no YAML': decoder,
  'a bad page token': decoder,
  'a bad label selector': 'the same status; the message names the whole requirement',
  'an answer nobody can give': 'the same status; the embedded server writes JSON only',
  'add a finalizer while terminating': 'the same fault, which kube-apiserver reports twice',
  'a change a pod cannot make': 'the same fault, without the difference of two Go values',
  'a definition that is not structural': 'the same status; the faults are named by version',
  'a definition': 'the names are accepted at once, where kube-apiserver does it a moment later',
  'a definition that is served': 'its conditions have no lastTransitionTime',
  'delete the definition': 'its objects are removed at once, without a condition that says so',
};
