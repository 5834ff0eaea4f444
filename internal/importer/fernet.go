package importer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/secret"
)

var errFernet = errors.New("not a Fernet token of this key")

// openFernet decrypts a Fernet token, version 0x80, of any age:
// https://github.com/fernet/spec/blob/master/Spec.md
func openFernet(key []byte, token string) (secret.String, error) {
	const head, tail = 1 + 8 + aes.BlockSize, sha256.Size // version, time, IV; HMAC
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(token, "="))
	if err != nil || len(key) != 32 || len(b) < head+aes.BlockSize+tail || (len(b)-head-tail)%aes.BlockSize != 0 || b[0] != 0x80 {
		return "", errFernet
	}
	signed, signature := b[:len(b)-tail], b[len(b)-tail:]
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(signed)
	if !hmac.Equal(mac.Sum(nil), signature) {
		return "", errFernet
	}
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		return "", errFernet
	}
	text := make([]byte, len(signed)-head)
	cipher.NewCBCDecrypter(block, signed[head-aes.BlockSize:head]).CryptBlocks(text, signed[head:])
	// PKCS #7. The signature was verified, so that there is no padding oracle.
	pad := int(text[len(text)-1])
	if pad < 1 || pad > aes.BlockSize {
		return "", errFernet
	}
	for _, c := range text[len(text)-pad:] {
		if int(c) != pad {
			return "", errFernet
		}
	}
	return secret.String(text[:len(text)-pad]), nil
}

const (
	// oldIterations is the number that email-oauth2-proxy used before it stored the
	// number (October 2023).
	oldIterations = 100_000
	// mostIterations bounds the work a file can ask for: about five seconds.
	mostIterations = 20_000_000
)

// lock is the encryption of an account by email-oauth2-proxy: Fernet, with a key that
// PBKDF2 derives from the password that its mail program sends.
type lock struct {
	salt       string // base64
	iterations int
}

func (l lock) open(password secret.String, value string) (secret.String, error) {
	salt, err := base64.StdEncoding.DecodeString(l.salt)
	if err != nil || len(salt) == 0 {
		return "", errors.New("token_salt is missing or damaged")
	}
	if l.iterations < 1 || l.iterations > mostIterations {
		return "", fmt.Errorf("token_iterations is not between 1 and %d", mostIterations)
	}
	key, err := pbkdf2.Key(sha256.New, password.Reveal(), salt, l.iterations, 32)
	if err != nil {
		return "", fmt.Errorf("deriving a key from the password: %w", err)
	}
	return openFernet(key, value)
}
