// Package random makes the identifiers and tokens of the simulated Gmail: letters
// and digits in fixed shapes.
package random

import (
	"crypto/rand"
	"encoding/base64"
	"math/big"
)

// Below returns a number from 0 up to, not including, n.
func Below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return int(i.Int64())
}

// From returns n characters of an alphabet.
func From(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[Below(len(alphabet))]
	}
	return string(b)
}

// Letters returns n lower-case letters.
func Letters(n int) string { return From("abcdefghijklmnopqrstuvwxyz", n) }

// Hex returns n hexadecimal digits.
func Hex(n int) string { return From("0123456789abcdef", n) }

// Token returns n characters of base64url, the alphabet of Google's tokens.
func Token(n int) string {
	b := make([]byte, (n*6+7)/8)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}
