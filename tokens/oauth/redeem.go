package oauth

import (
	"context"
	"time"

	"authferry/internal/secret"
)

// Redeem trades a refresh token that another program was given, for those who
// take a mailbox over from it. It must have been given to this very client. The
// refresh token of the answer may be another than the one that was traded, and
// the only one that is still good. Its errors match those of [Vault].
func (p *Provider) Redeem(ctx context.Context, refresh secret.String) (*Token, error) {
	t, err := p.Refresh(ctx, Token{Refresh: refresh}, "", time.Now())
	if err != nil {
		return nil, err
	}
	return &t, nil
}
