/** Two sockets made one, byte for byte: each end passes on what the other says, waits while it does not read, and ends when it ends. */
import type { Socket } from 'node:net';

/** Both are half-open. `onClose`: once, when both are closed. */
export function carry(a: Socket, b: Socket, onClose: () => void): void {
  let open = 2;
  const tie = (from: Socket, to: Socket): void => {
    from.on('error', () => to.destroy());
    from.once('close', () => {
      // What it has said whole is still delivered; there is nobody any more for what would come back.
      if (from.readableEnded) to.destroySoon();
      else to.destroy();
      open -= 1;
      if (open === 0) onClose();
    });
    from.pipe(to);
  };
  tie(a, b);
  tie(b, a);
}
