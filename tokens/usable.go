package tokens

import "context"

// Usable tells whether the store can be read and written now: a token that is
// refreshed has to be written down, or it may be lost.
func (v *Vault) Usable(ctx context.Context) error {
	if _, err := v.store.Mailboxes(ctx); err != nil {
		return err
	}
	if s, ok := v.store.(interface{ writable() error }); ok {
		return s.writable()
	}
	return nil
}
