/** A modal dialog on the native element: the browser keeps focus inside, gives it back, and closes on Escape. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { Button, IconButton } from '../Button/Button.tsx';
import s from './Dialog.module.css';

export function Dialog({
  title,
  onClose,
  children,
  wide,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? `${s.dialog} ${s.wide}` : s.dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      <header class={s.head}>
        <h2 id={id}>{title}</h2>
        <IconButton icon="x" label={t('common.close')} onClick={onClose} />
      </header>
      <div class={s.body}>{children}</div>
    </dialog>
  );
}

export const Actions = ({ children }: { children: ComponentChildren }) => <div class={s.actions}>{children}</div>;

interface ConfirmProps {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  onClose: () => void;
  onConfirm: () => void;
}

export function Confirm({ title, text, action, danger, onClose, onConfirm }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p class={s.text}>{text}</p>
      <Actions>
        <Button onClick={onClose}>{t('common.cancel')}</Button>
        <Button
          look={danger ? 'danger' : 'primary'}
          onClick={() => {
            onClose();
            onConfirm();
          }}
        >
          {action}
        </Button>
      </Actions>
    </Dialog>
  );
}
