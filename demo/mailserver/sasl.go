package mailserver

import (
	"encoding/base64"
	"errors"
	"strings"
)

// The challenges in which Gmail explains a refusal. The client must answer
// before the refusal itself comes: XOAUTH2 with an empty line
// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol),
// OAUTHBEARER with a lone 0x01 (RFC 7628 §3.2.3).
var (
	xoauth2Challenge     = base64.StdEncoding.EncodeToString([]byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`))
	oauthBearerChallenge = base64.StdEncoding.EncodeToString([]byte(`{"status":"invalid_request","scope":"https://mail.google.com/"}`))
)

var errNotBase64 = errors.New("not base64")

// credentials are what XOAUTH2 and OAUTHBEARER carry. An empty token stands for
// a message that made no sense, which Gmail answers like a bad token.
type credentials struct {
	user, token string
}

// parseBearer reads the one message of XOAUTH2 or OAUTHBEARER (RFC 7628 §3.1).
func parseBearer(mechanism, encoded string) (credentials, error) {
	if encoded == "=" {
		encoded = "" // RFC 4959, RFC 4954, RFC 5034: an empty initial response
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return credentials{}, errNotBase64
	}
	message, ok := strings.CutSuffix(string(b), "\x01\x01")
	if !ok {
		return credentials{}, nil
	}
	head, rest, ok := strings.Cut(message, "\x01")
	if !ok {
		return credentials{}, nil
	}
	var c credentials
	if mechanism == "XOAUTH2" {
		c.user, ok = strings.CutPrefix(head, "user=")
	} else {
		c.user, ok = gs2User(head)
	}
	if !ok {
		return credentials{}, nil
	}
	for _, pair := range strings.Split(rest, "\x01") {
		if value, ok := strings.CutPrefix(pair, "auth="); ok {
			if scheme, token, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") {
				c.token = token
			}
		}
	}
	return c, nil
}

// gs2User takes the user out of a GS2 header, "n,a=user," (RFC 5801 §4).
func gs2User(header string) (string, bool) {
	parts := strings.Split(header, ",")
	if len(parts) != 3 || parts[0] != "n" && parts[0] != "y" || parts[2] != "" {
		return "", false
	}
	user, ok := strings.CutPrefix(parts[1], "a=")
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user), ok
}

// challenge returns the challenge in which a mechanism explains a refusal.
func challenge(mechanism string) string {
	if mechanism == "XOAUTH2" {
		return xoauth2Challenge
	}
	return oauthBearerChallenge
}

// isBearer reports whether a mechanism takes tokens.
func isBearer(mechanism string) bool {
	return mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER"
}
