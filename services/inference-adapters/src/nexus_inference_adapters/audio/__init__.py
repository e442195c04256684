"""What kinds that speak and kinds that hear have in common: how a voice is offered, how sound comes, what was heard."""

from nexus_inference_adapters.audio.catalogue import Voice, hearing_model, speech_model
from nexus_inference_adapters.audio.decoding import Sound, decoded
from nexus_inference_adapters.audio.endings import Ending, Wave
from nexus_inference_adapters.audio.languages import LANGUAGES, code_of
from nexus_inference_adapters.audio.spoken import pcm_type, spoken, stretch_of
from nexus_inference_adapters.audio.transcoding import TRANSCODER, encoded
from nexus_inference_adapters.audio.transcripts import TRANSCRIPTS, Transcript, delta, done, text_of

__all__ = [
    "LANGUAGES",
    "TRANSCODER",
    "TRANSCRIPTS",
    "Ending",
    "Sound",
    "Transcript",
    "Voice",
    "Wave",
    "code_of",
    "decoded",
    "delta",
    "done",
    "encoded",
    "hearing_model",
    "pcm_type",
    "speech_model",
    "spoken",
    "stretch_of",
    "text_of",
]
