import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** What one beacon line says: only the fields the job needs are read, the rest is skipped by the tokenizer. */
final class Beacon {
  private static final JsonFactory JSON = new JsonFactory();
  private static final MessageDigest MD5 = md5();

  long time;
  String partner = "";
  String entry = "";
  String session = "";
  String index = "";
  String type = "";
  String began = "";
  String buffer = "";

  static Beacon read(byte[] record, int from, int length) throws IOException {
    Beacon beacon = new Beacon();
    try (JsonParser parser = JSON.createParser(record, from, length)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        if (name.equals("time")) {
          beacon.time = parser.getLongValue();
        } else if (name.equals("query")) {
          beacon.readQuery(parser.getText());
        }
      }
    }
    return beacon;
  }

  private void readQuery(String query) {
    int at = 0;
    int end = query.length();
    while (at < end) {
      int next = query.indexOf('&', at);
      if (next < 0) {
        next = end;
      }
      int equals = query.indexOf('=', at);
      if (equals > 0 && equals < next) {
        take(query, at, equals, next);
      }
      at = next + 1;
    }
  }

  private void take(String query, int name, int equals, int end) {
    switch (query.substring(name, equals)) {
      case "partnerId" -> partner = decode(query.substring(equals + 1, end));
      case "entryId" -> entry = decode(query.substring(equals + 1, end));
      case "sessionId" -> session = decode(query.substring(equals + 1, end));
      case "eventIndex" -> index = decode(query.substring(equals + 1, end));
      case "eventType" -> type = decode(query.substring(equals + 1, end));
      case "sessionStartTime" -> began = decode(query.substring(equals + 1, end));
      case "bufferTime" -> buffer = decode(query.substring(equals + 1, end));
      default -> { }
    }
  }

  private static String decode(String text) {
    return text.indexOf('%') < 0 && text.indexOf('+') < 0 ? text : URLDecoder.decode(text, StandardCharsets.UTF_8);
  }

  /** The 16 bytes that tell this event from every other: a state store key far shorter than the text. */
  byte[] identity() {
    String text = partner + '\n' + session + '\n' + index + '\n' + entry + '\n' + type + '\n' + began;
    return MD5.digest(text.getBytes(StandardCharsets.ISO_8859_1));
  }

  boolean isPlay() {
    return type.equals("3");
  }

  boolean isView() {
    return type.equals("99");
  }

  long bufferMs() {
    return isView() && !buffer.isEmpty() ? Math.round(Double.parseDouble(buffer) * 1000) : 0;
  }

  private static MessageDigest md5() {
    try {
      return MessageDigest.getInstance("MD5");
    } catch (NoSuchAlgorithmException missing) {
      throw new IllegalStateException(missing);
    }
  }
}
