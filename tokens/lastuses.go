package tokens

import (
	"context"
	"errors"

	"authferry/tokens/store"
)

// LastUses tells when and from where the passwords of all mailboxes were used
// last. Call it at start: with it the vault learns how many chosen passwords a
// mailbox has at most, which refusals must not give away.
func (v *Vault) LastUses(ctx context.Context, tell func(mailbox string, u store.Use)) error {
	mailboxes, err := v.store.Mailboxes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, mailbox := range mailboxes {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, err := v.store.Get(ctx, mailbox)
		if errors.Is(err, store.ErrNoMailbox) { // removed meanwhile
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v.verifier.seen(a)
		for _, p := range a.Passwords {
			if !p.LastUsed.At.IsZero() {
				tell(mailbox, p.LastUsed)
			}
		}
	}
	return errors.Join(errs...)
}
