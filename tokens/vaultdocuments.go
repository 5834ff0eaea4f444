package tokens

import "context"

// Document returns a document of the store; see [Store].
func (v *Vault) Document(ctx context.Context, name string) ([]byte, error) {
	return v.store.Document(ctx, name)
}

// UpdateDocument edits a document of the store under its lock; see [Store].
func (v *Vault) UpdateDocument(ctx context.Context, name string, edit func(old []byte) ([]byte, error)) error {
	return v.store.UpdateDocument(ctx, name, edit)
}
