package oauth

import "authferry/internal/secret"

// Belongs complains of an address that does not belong to this visit, or brings
// nothing. Unlike [Consent.Finish] it asks nobody and uses nothing up: a person
// who pastes the wrong address may paste another.
func (c *Consent) Belongs(redirected string) error {
	answer, err := readRedirect(redirected)
	if err != nil {
		return err
	}
	if answer.Get("error") != "" && secret.Equal(secret.String(answer.Get("state")), c.state) {
		return nil // an answer too
	}
	return c.check(answer)
}
