/** Where a mediad instance is asked: `2` is the second one of this node, `NODE/2` that of the other one, through clusterd. */
export const mediadSocket = (directory: string, instance: string): string => {
  const [, number] = instance.split('/');
  return number === undefined ? `${directory}/mediad-${instance}.sock` : `${directory}/peer/mediad-${number}.sock`;
};
