/** A dialog over the page. The browser keeps the focus in it and closes it by Escape. */
import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** A dialog that is open for as long as it is there. */
export function Dialog(props: { label: string; class?: string; onClose: () => void; children: ComponentChildren }): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  // Before anything is painted: keys that come next are for what it holds.
  useLayoutEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={ref} class={props.class} aria-label={props.label} onClose={props.onClose}
      onClick={(event) => {
        if (event.target === ref.current) props.onClose();
      }}>
      {props.children}
    </dialog>
  );
}
